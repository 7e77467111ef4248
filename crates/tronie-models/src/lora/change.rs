//! The arithmetic of one module's change, for every kind of adapter.
//!
//! Every kind gives a difference to be added to the plain weight, so that several add up in any order:
//! - LoRA, LoCon, LoHa, LoKr: `scale` times a product, see [`WeightChange`] for the papers
//! - (IA)³: the weight times what its inputs or outputs are multiplied by, minus one
//! - DoRA (Liu et al. 2024, arXiv:2402.09353, equation 5): `m (W + D) / |W + D| - W` with D the difference of one of the
//!   others. Strength acts on that whole difference, as in ComfyUI; in PEFT a weight other than 1 acts on D alone
//!
//! Reference: `lycoris/modules/{loha,lokr,ia3,full,norms}.py` and `functional/general.py` of KohakuBlueleaf/LyCORIS 4.1.3,
//! and `tuners/{lora,loha,lokr,ia3}/layer.py` of peft 0.21.2.

use tronie_tensor::{DType, Device, Tensor, TensorData};
use tronie_weights::{
    Dtype, Factor, LoraModule, LoraTarget, Magnitude, Product, RawTensor, Scales, WeightChange,
};

use super::{Acting, LoraFitError, matrix_dims};
use crate::load::float_dtype;

/// `LyCORIS`' guard against rows without length, f32's epsilon.
const LENGTH_EPSILON: f32 = f32::EPSILON;

/// One adapter's change of one tensor, its factors as they are stored.
pub(super) struct Change {
    kind: Kind,
    /// Of kinds that are products.
    scale: f32,
    magnitude: Option<Along>,
    strength: f32,
}

enum Kind {
    LowRank(Box<Factors>),
    Hadamard(Box<[Factors; 2]>),
    Kronecker(Box<[Tensor<2>; 2]>), // c_out, everything else, in f32
    Difference(Tensor<2>),
    Scales(Along),
}

/// A [`Product`] in memory.
struct Factors {
    down: Tensor<2>,        // rank, everything else
    mid: Option<Tensor<4>>, // to from kh kw, all of the rank
    up: Tensor<2>,          // c_out rank
}

/// Numbers for each input or output.
struct Along {
    values: Tensor<1>,
    on_input: bool,
}

/// The tensor that is changed: the module's weight or its bias.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Weight,
    Bias,
}

/// Makes tensors of stored ones, naming the module when one is none.
struct Uploads<'a> {
    lora: &'a str,
    target: &'a LoraTarget,
    device: &'a Device,
}

impl Change {
    /// The change of a module's weight or bias; `None` where it leaves that alone.
    pub(super) fn new(
        acting: &Acting<'_>,
        (target, place): (&LoraTarget, Place),
        module: &LoraModule,
        device: &Device,
    ) -> Result<Option<Self>, LoraFitError> {
        let uploads = Uploads { lora: acting.name, target, device };
        let kind = match place {
            Place::Weight => module.weight.as_ref().map(|weight| uploads.kind(weight)).transpose()?,
            Place::Bias => uploads.kind_of_bias(module)?,
        };
        let magnitude = module.magnitude.as_ref().filter(|_| place == Place::Weight);
        let magnitude = magnitude.map(|Magnitude { values, on_input }| {
            Ok(Along { values: uploads.flat(values)?, on_input: *on_input })
        });
        let magnitude = magnitude.transpose()?;
        let (scale, strength) = (module.scale(), acting.strength);
        Ok(kind.map(|kind| Self { kind, scale, magnitude, strength }))
    }

    /// What is added to the weight, in f32.
    ///
    /// # Shapes
    /// `weight`: c_out, everything else; the plain weight, of which the second dimension is c_in times the kernel.
    /// Returns the same.
    pub(super) fn difference(&self, weight: &Tensor<2>) -> Tensor<2> {
        let (product, scale) = match &self.kind {
            Kind::LowRank(factors) => (factors.product(), self.scale),
            Kind::Hadamard(both) => {
                let [a, b] = both.as_ref();
                (a.product() * b.product(), self.scale)
            }
            Kind::Kronecker(both) => {
                let [a, b] = both.as_ref();
                (kronecker(a.clone(), b.clone()), self.scale)
            }
            Kind::Difference(difference) => (difference.clone().cast(DType::F32), 1.0),
            Kind::Scales(along) => (along.times(weight.clone()), 1.0),
        };
        let Some(magnitude) = &self.magnitude else {
            return product * (scale * self.strength);
        };
        let turned = weight.clone() + product * scale;
        let lengths = magnitude.lengths(&turned) + LENGTH_EPSILON;
        let wanted = magnitude.values.clone().cast(DType::F32) / lengths;
        let turned = Along { values: wanted, on_input: magnitude.on_input }.times(turned);
        (turned - weight.clone()) * self.strength
    }
}

impl Along {
    /// # Shapes
    /// `weight`: c_out, c_in times the kernel. Returns the same, each number times what it belongs to.
    fn times(&self, weight: Tensor<2>) -> Tensor<2> {
        let [rows, columns] = weight.dims();
        let values = self.values.clone().cast(DType::F32);
        let n = values.dims()[0];
        if self.on_input {
            let by_input = weight.reshape([rows, n, columns / n]) * values.reshape([1, n, 1]);
            by_input.reshape([rows, columns])
        } else {
            weight * values.reshape([n, 1])
        }
    }

    /// Euclidean length of what belongs to each input or output.
    ///
    /// # Shapes
    /// `weight`: c_out, c_in times the kernel. Returns c_in or c_out.
    fn lengths(&self, weight: &Tensor<2>) -> Tensor<1> {
        let [rows, columns] = weight.dims();
        let n = self.values.dims()[0];
        let squares = weight.clone() * weight.clone();
        let sums = match self.on_input {
            true => squares.reshape([rows, n, columns / n]).sum_dims(&[0, 2]).reshape([n]),
            false => squares.sum_dim(1).reshape([n]),
        };
        sums.sqrt()
    }
}

impl Factors {
    /// # Shapes
    /// Returns c_out, everything else, in f32.
    fn product(&self) -> Tensor<2> {
        let (down, up) = (self.down.clone().cast(DType::F32), self.up.clone().cast(DType::F32));
        let down = match &self.mid {
            None => down,
            Some(mid) => {
                let [to, from, kh, kw] = mid.dims();
                let c_in = down.dims()[1];
                let mid = mid.clone().cast(DType::F32).permute([0, 2, 3, 1]); // to kh kw from
                let product = mid.reshape([to * kh * kw, from]).matmul(down);
                let product = product.reshape([to, kh * kw, c_in]).swap_dims(1, 2); // to c_in kh*kw
                product.reshape([to, c_in * kh * kw])
            }
        };
        up.matmul(down)
    }
}

/// Every number of `a` times all of `b`, at the place of the number.
///
/// # Shapes
/// `a`: k m, `b`: l n. Returns k*l m*n.
fn kronecker(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let ([k, m], [l, n]) = (a.dims(), b.dims());
    let product = a.reshape([k, 1, m, 1]) * b.reshape([1, l, 1, n]); // k l m n
    product.reshape([k * l, m * n])
}

impl Uploads<'_> {
    fn kind(&self, weight: &WeightChange) -> Result<Kind, LoraFitError> {
        Ok(match weight {
            WeightChange::LowRank(product) => Kind::LowRank(Box::new(self.factors(product)?)),
            WeightChange::Hadamard([a, b]) => Kind::Hadamard(Box::new([self.factors(a)?, self.factors(b)?])),
            WeightChange::Kronecker([a, b]) => Kind::Kronecker(Box::new([self.side(a)?, self.side(b)?])),
            WeightChange::Difference(tensor) => Kind::Difference(self.matrix(tensor)?),
            WeightChange::Scales(scales) => Kind::Scales(self.scales(scales)?),
        })
    }

    /// PEFT's (IA)³ multiplies outputs, to which the bias belongs.
    fn kind_of_bias(&self, module: &LoraModule) -> Result<Option<Kind>, LoraFitError> {
        match (&module.bias, &module.weight) {
            (Some(bias), _) => Ok(Some(Kind::Difference(self.matrix(bias)?))),
            (None, Some(WeightChange::Scales(scales))) if scales.are_factors && !scales.on_input => {
                Ok(Some(Kind::Scales(self.scales(scales)?)))
            }
            _ => Ok(None),
        }
    }

    /// What the weight is multiplied by, minus one.
    fn scales(&self, scales: &Scales) -> Result<Along, LoraFitError> {
        let values = self.flat(&scales.values)?.cast(DType::F32);
        let values = if scales.are_factors { values - 1.0 } else { values };
        Ok(Along { values, on_input: scales.on_input })
    }

    /// A side of a Kronecker product, multiplied out.
    fn side(&self, factor: &Factor) -> Result<Tensor<2>, LoraFitError> {
        match factor {
            Factor::Whole(tensor) => Ok(self.matrix(tensor)?.cast(DType::F32)),
            Factor::Product(product) => Ok(self.factors(product)?.product()),
        }
    }

    fn factors(&self, product: &Product) -> Result<Factors, LoraFitError> {
        let mid = product.mid.as_ref().map(|mid| -> Result<Tensor<4>, LoraFitError> {
            let [kh, kw] = super::kernel(&mid.meta.shape);
            let rank = product.rank();
            Ok(self.flat(mid)?.reshape([rank, rank, kh, kw]))
        });
        let up = self.matrix(&product.up)?;
        let up = if product.is_up_transposed() { up.transpose() } else { up };
        Ok(Factors { down: self.matrix(&product.down)?, mid: mid.transpose()?, up })
    }

    fn matrix(&self, tensor: &RawTensor) -> Result<Tensor<2>, LoraFitError> {
        let (rows, columns) = matrix_dims(&tensor.meta.shape);
        Ok(self.flat(tensor)?.reshape([rows, columns]))
    }

    fn flat(&self, tensor: &RawTensor) -> Result<Tensor<1>, LoraFitError> {
        let dtype = float_dtype(tensor.meta.dtype).ok_or_else(|| self.wrong(tensor.meta.dtype))?;
        let n: usize = tensor.meta.shape.iter().product();
        let data = TensorData::from_bytes_vec(tensor.bytes.clone(), [n], dtype);
        Ok(Tensor::from_data(data, (self.device, dtype)))
    }

    fn wrong(&self, found: Dtype) -> LoraFitError {
        LoraFitError::Dtype { lora: self.lora.to_owned(), target: self.target.clone(), found }
    }
}
