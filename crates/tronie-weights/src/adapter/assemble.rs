//! From the tensors of one module to its change.

use std::collections::BTreeMap;

use super::error::LoraError;
use super::keys::{Role, Side};
use super::module::{Factor, LoraModule, Magnitude, Product, Scales, WeightChange};
use super::modules::Target;
use super::peft;
use crate::source::shown;
use crate::{Dtype, RawTensor, TensorFile};

/// The names of one module's tensors, by what they are.
pub(super) type Pieces = BTreeMap<Role, String>;

/// Reads and checks the tensors of a module.
pub(super) fn assemble(
    file: &dyn TensorFile,
    target: &Target,
    pieces: &Pieces,
    settings: &peft::Settings,
) -> Result<LoraModule, LoraError> {
    let reader = Reader { file, target, pieces };
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| kind.is_in(pieces)).collect();
    let is_of_bias = pieces.keys().all(|role| *role == Role::DiffBias);
    let weight = match kinds.as_slice() {
        [] if is_of_bias => None,
        [] => return Err(reader.incomplete(Role::Down)),
        [kind] => Some(reader.weight(*kind, settings)?),
        [first, second, ..] => {
            let kinds = [first.name(), second.name()];
            return Err(LoraError::Mixed { target: target.clone(), kinds, found: reader.found() });
        }
    };
    let magnitude = reader.magnitude()?;
    let bias = reader.float(Role::DiffBias)?;
    let mut module = LoraModule { weight, magnitude, bias, alpha: 1.0 };
    reader.check(&module)?;
    module.alpha = reader.alpha(&module, settings)?;
    Ok(module)
}

/// The ways of changing a weight, as tensors tell them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    LowRank,
    Hadamard,
    Kronecker,
    Difference,
    Scales,
}

impl Kind {
    const ALL: [Self; 5] = [Self::LowRank, Self::Hadamard, Self::Kronecker, Self::Difference, Self::Scales];

    fn name(self) -> &'static str {
        match self {
            Self::LowRank => "LoRA",
            Self::Hadamard => "LoHa",
            Self::Kronecker => "LoKr",
            Self::Difference => "full difference",
            Self::Scales => "(IA)3",
        }
    }

    fn is_in(self, pieces: &Pieces) -> bool {
        pieces.keys().any(|role| match role {
            Role::Down | Role::Up | Role::Mid => self == Self::LowRank,
            Role::Hada(..) => self == Self::Hadamard,
            Role::Lokr(..) => self == Self::Kronecker,
            Role::Diff => self == Self::Difference,
            Role::Scales | Role::OnInput | Role::Factors => self == Self::Scales,
            Role::Alpha | Role::DiffBias | Role::DoraScale | Role::Magnitude => false,
        })
    }
}

/// The tensors of one module.
struct Reader<'a> {
    file: &'a dyn TensorFile,
    target: &'a Target,
    pieces: &'a Pieces,
}

impl Reader<'_> {
    fn read(&self, role: Role) -> Result<Option<RawTensor>, LoraError> {
        let Some(name) = self.pieces.get(&role) else { return Ok(None) };
        self.file.read(name).map_err(|cause| LoraError::Read { name: shown(name), cause })
    }

    /// A tensor of floating-point numbers.
    fn float(&self, role: Role) -> Result<Option<RawTensor>, LoraError> {
        let tensor = self.read(role)?;
        match tensor.as_ref().map(|tensor| tensor.meta.dtype) {
            None | Some(Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) => Ok(tensor),
            Some(found) => Err(LoraError::Dtype { target: self.target.clone(), found }),
        }
    }

    fn required(&self, role: Role) -> Result<RawTensor, LoraError> {
        self.float(role)?.ok_or_else(|| self.incomplete(role))
    }

    fn found(&self) -> Vec<String> {
        self.pieces.values().map(|name| shown(name)).collect()
    }

    fn incomplete(&self, role: Role) -> LoraError {
        LoraError::Incomplete { target: self.target.clone(), missing: role.kohya(), found: self.found() }
    }

    fn weight(&self, kind: Kind, settings: &peft::Settings) -> Result<WeightChange, LoraError> {
        Ok(match kind {
            Kind::LowRank => WeightChange::LowRank(self.product([Role::Down, Role::Mid, Role::Up])?),
            Kind::Hadamard => {
                let product = |n| {
                    self.product([Role::Hada(n, Side::B), Role::Hada(n, Side::Core), Role::Hada(n, Side::A)])
                };
                WeightChange::Hadamard([product(1)?, product(2)?])
            }
            Kind::Kronecker => WeightChange::Kronecker([self.factor(1)?, self.factor(2)?]),
            Kind::Difference => WeightChange::Difference(self.required(Role::Diff)?),
            Kind::Scales => WeightChange::Scales(self.scales(settings)?),
        })
    }

    fn product(&self, [down, mid, up]: [Role; 3]) -> Result<Product, LoraError> {
        Ok(Product { down: self.required(down)?, mid: self.float(mid)?, up: self.required(up)? })
    }

    fn factor(&self, n: u8) -> Result<Factor, LoraError> {
        match self.float(Role::Lokr(n, Side::Whole))? {
            Some(whole) => Ok(Factor::Whole(whole)),
            None => {
                let roles = [Side::B, Side::Core, Side::A].map(|side| Role::Lokr(n, side));
                Ok(Factor::Product(self.product(roles)?))
            }
        }
    }

    /// PEFT's matrices say by their shape what they multiply, n 1 or 1 n; for convolutions its configuration does.
    fn scales(&self, settings: &peft::Settings) -> Result<Scales, LoraError> {
        let Some(values) = self.float(Role::Factors)? else {
            let flag = self.read(Role::OnInput)?.ok_or_else(|| self.incomplete(Role::OnInput))?;
            let values = self.required(Role::Scales)?;
            return Ok(Scales {
                values,
                on_input: flag.bytes.iter().any(|&byte| byte != 0),
                are_factors: false,
            });
        };
        let on_input = match values.meta.shape.as_slice() {
            [first, _] => *first == 1,
            _ => settings.is_feedforward(self.target),
        };
        Ok(Scales { values, on_input, are_factors: true })
    }

    /// `LyCORIS` has them in the shape they multiply the weight in, PEFT always one for each output.
    fn magnitude(&self) -> Result<Option<Magnitude>, LoraError> {
        if let Some(values) = self.float(Role::Magnitude)? {
            return Ok(Some(Magnitude { values, on_input: false }));
        }
        let values = self.float(Role::DoraScale)?;
        Ok(values.map(|values| Magnitude { on_input: values.meta.shape.first() == Some(&1), values }))
    }

    /// Shapes must make a product.
    fn check(&self, module: &LoraModule) -> Result<(), LoraError> {
        let Some(weight) = &module.weight else { return Ok(()) };
        if weight.shape().is_some() || matches!(weight, WeightChange::Scales(_)) {
            return Ok(());
        }
        let shapes = weight.tensors().into_iter().map(|tensor| tensor.meta.shape.clone());
        Err(LoraError::Shapes { target: self.target.clone(), kind: module.kind(), found: shapes.collect() })
    }

    /// The file's, else the configuration's, else what makes the scale 1. Kinds without a rank have none in files.
    fn alpha(&self, module: &LoraModule, settings: &peft::Settings) -> Result<f32, LoraError> {
        let Some(rank) = module.rank() else {
            let is_product = matches!(module.weight, Some(WeightChange::Kronecker(_)));
            return Ok(settings.scale(self.target).filter(|_| is_product).unwrap_or(1.0));
        };
        match self.read(Role::Alpha)? {
            Some(alpha) => scalar(&alpha).ok_or_else(|| LoraError::Alpha {
                target: self.target.clone(),
                dtype: alpha.meta.dtype,
                shape: alpha.meta.shape.clone(),
            }),
            None => Ok(settings.alpha(self.target).unwrap_or(rank as f32)),
        }
    }
}

/// The number in a tensor of one number of any type; `None` for more, none, or no number at all.
fn scalar(tensor: &RawTensor) -> Option<f32> {
    let number = match (tensor.meta.dtype, tensor.bytes.as_slice()) {
        (Dtype::I64, bytes) => i64::from_le_bytes(bytes.try_into().ok()?) as f32,
        (Dtype::I32, bytes) => i32::from_le_bytes(bytes.try_into().ok()?) as f32,
        (Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16, _) => {
            let single = tensor.to_dtype(Dtype::F32).ok()?;
            f32::from_le_bytes(single.bytes.as_slice().try_into().ok()?)
        }
        _ => return None,
    };
    number.is_finite().then_some(number)
}
