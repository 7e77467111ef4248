//! How one module changes: the kinds of adapters the field has, as data.
//!
//! - LoRA and LoCon: Hu et al. 2021 (arXiv:2106.09685). The weight becomes `W + scale * up * down`. Convolutions do the same
//!   with `down` a convolution to `rank` channels and `up` a 1x1 convolution back
//! - LoHa and LoKr, and the Tucker form with a third factor between the two: Yeh et al. 2023 (arXiv:2309.14859), in
//!   KohakuBlueleaf/LyCORIS `lycoris/modules` (4.1.3)
//! - (IA)³: Liu et al. 2022 (arXiv:2205.05638)
//! - DoRA: Liu et al. 2024 (arXiv:2402.09353), of any of the kinds that add to a weight

use crate::RawTensor;

/// The change of one module.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraModule {
    /// How its weight changes; `None` where only its bias does.
    pub weight: Option<WeightChange>,
    /// Lengths that the rows or columns of the changed weight are brought to, in DoRA.
    pub magnitude: Option<Magnitude>,
    /// c_out: added to the bias.
    pub bias: Option<RawTensor>,
    /// The weight's change is multiplied by this over its rank, or by this alone where the kind has no rank.
    pub alpha: f32,
}

/// How a weight changes.
#[derive(Debug, Clone, PartialEq)]
pub enum WeightChange {
    /// LoRA, LoCon: a product is added.
    LowRank(Product),
    /// LoHa: two products times each other, element by element.
    Hadamard([Product; 2]),
    /// LoKr: the Kronecker product of two factors.
    Kronecker([Factor; 2]),
    /// The difference itself, of the weight's shape.
    Difference(RawTensor),
    /// (IA)³: what belongs to one input or one output is multiplied.
    Scales(Scales),
}

/// Two matrices whose product has the shape of a weight, or of a factor of one.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// rank c_in, for a convolution rank c_in kh kw (1 1 in the Tucker form); in LoHa and LoKr rank c_in*kh*kw.
    pub down: RawTensor,
    /// rank rank kh kw, in the Tucker form only.
    pub mid: Option<RawTensor>,
    /// c_out rank, for a convolution c_out rank 1 1; rank c_out in the Tucker form of LoHa and LoKr.
    pub up: RawTensor,
}

/// One side of a Kronecker product.
#[derive(Debug, Clone, PartialEq)]
pub enum Factor {
    /// c_out c_in, for a convolution c_out c_in kh kw.
    Whole(RawTensor),
    /// Factored once more.
    Product(Product),
}

/// Numbers for each input or each output of a module.
#[derive(Debug, Clone, PartialEq)]
pub struct Scales {
    /// As many numbers as there are inputs or outputs, in any shape.
    pub values: RawTensor,
    /// For the inputs, not the outputs.
    pub on_input: bool,
    /// PEFT's meaning: they are the factors, and those of outputs act on the bias too. `LyCORIS` stores the factors minus
    /// one, and leaves biases alone.
    pub are_factors: bool,
}

/// The lengths that DoRA keeps beside a change of direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Magnitude {
    /// As many numbers as there are inputs or outputs, in any shape.
    pub values: RawTensor,
    /// Of what belongs to one input (`LyCORIS` before `wd_on_out`), not of what belongs to one output.
    pub on_input: bool,
}

impl LoraModule {
    /// A plain LoRA: `down` is rank c_in and `up` c_out rank, or convolutions like these.
    #[must_use]
    pub fn low_rank(down: RawTensor, up: RawTensor, alpha: f32) -> Self {
        let weight = Some(WeightChange::LowRank(Product { down, mid: None, up }));
        Self { weight, magnitude: None, bias: None, alpha }
    }

    /// What the field calls this kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match (&self.magnitude, &self.weight) {
            (Some(_), _) => "DoRA",
            (None, Some(WeightChange::LowRank(Product { down, .. }))) => match down.meta.shape.as_slice() {
                [_, _] => "LoRA",
                _ => "LoCon",
            },
            (None, Some(WeightChange::Hadamard(_))) => "LoHa",
            (None, Some(WeightChange::Kronecker(_))) => "LoKr",
            (None, Some(WeightChange::Difference(_)) | None) => "full difference",
            (None, Some(WeightChange::Scales(_))) => "(IA)3",
        }
    }

    /// Inner dimension of its products, at least 1; `None` for kinds without products.
    #[must_use]
    pub fn rank(&self) -> Option<usize> {
        self.weight.as_ref().and_then(WeightChange::rank)
    }

    /// What the weight's change is multiplied by.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.rank().map_or(self.alpha, |rank| self.alpha / rank as f32)
    }
}

impl WeightChange {
    /// See [`LoraModule::rank`].
    pub(super) fn rank(&self) -> Option<usize> {
        match self {
            Self::LowRank(product) | Self::Hadamard([product, _]) => Some(product.rank()),
            // The second is the larger one, and both have the same rank where both are products.
            Self::Kronecker([first, second]) => second.rank().or(first.rank()),
            Self::Difference(_) | Self::Scales(_) => None,
        }
    }

    /// Shape of what is added to the weight, c_out c_in kh kw; of a flattened kernel c_out c_in*kh*kw 1 1. `None` where its
    /// tensors do not multiply, and for scales, which fit several shapes.
    #[must_use]
    pub fn shape(&self) -> Option<[usize; 4]> {
        match self {
            Self::LowRank(product) => product.shape(),
            Self::Hadamard([a, b]) => a.shape().filter(|shape| b.shape().as_ref() == Some(shape)),
            Self::Kronecker([a, b]) => {
                let (a, b) = (a.shape()?, b.shape()?);
                let mut both = a.into_iter().zip(b).map(|(a, b)| a * b);
                Some([both.next()?, both.next()?, both.next()?, both.next()?])
            }
            Self::Difference(tensor) => four(&tensor.meta.shape),
            Self::Scales(_) => None,
        }
    }

    /// Its tensors.
    pub(super) fn tensors(&self) -> Vec<&RawTensor> {
        match self {
            Self::LowRank(product) => product.tensors(),
            Self::Hadamard(products) => products.iter().flat_map(Product::tensors).collect(),
            Self::Kronecker(factors) => factors.iter().flat_map(Factor::tensors).collect(),
            Self::Difference(tensor) | Self::Scales(Scales { values: tensor, .. }) => vec![tensor],
        }
    }
}

impl Factor {
    fn rank(&self) -> Option<usize> {
        match self {
            Self::Whole(_) => None,
            Self::Product(product) => Some(product.rank()),
        }
    }

    fn shape(&self) -> Option<[usize; 4]> {
        match self {
            Self::Whole(tensor) => four(&tensor.meta.shape),
            Self::Product(product) => product.shape(),
        }
    }

    fn tensors(&self) -> Vec<&RawTensor> {
        match self {
            Self::Whole(tensor) => vec![tensor],
            Self::Product(product) => product.tensors(),
        }
    }
}

impl Product {
    /// The inner dimension.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.down.meta.shape.first().copied().unwrap_or_default()
    }

    /// Whether `up` is stored with its inner dimension first.
    #[must_use]
    pub fn is_up_transposed(&self) -> bool {
        self.mid.is_some() && self.up.meta.shape.len() == 2
    }

    /// c_out c_in kh kw; `None` where the tensors do not share a rank of at least 1.
    fn shape(&self) -> Option<[usize; 4]> {
        let mid = self.mid.as_ref().map(|mid| mid.meta.shape.as_slice());
        let (shape, inner) = match (self.down.meta.shape.as_slice(), self.up.meta.shape.as_slice(), mid) {
            (&[rank, c_in], &[c_out, inner], None) => ([c_out, c_in, 1, 1], [rank, inner, rank, inner]),
            (&[rank, c_in, kh, kw], &[c_out, inner, 1, 1], None) => {
                ([c_out, c_in, kh, kw], [rank, inner, rank, inner])
            }
            (&[rank, c_in, 1, 1], &[c_out, inner, 1, 1], Some(&[to, from, kh, kw]))
            | (&[rank, c_in], &[inner, c_out], Some(&[to, from, kh, kw])) => {
                ([c_out, c_in, kh, kw], [rank, inner, from, to])
            }
            _ => return None,
        };
        let [rank, ..] = inner;
        (rank > 0 && inner.iter().all(|&other| other == rank)).then_some(shape)
    }

    fn tensors(&self) -> Vec<&RawTensor> {
        [Some(&self.down), self.mid.as_ref(), Some(&self.up)].into_iter().flatten().collect()
    }
}

/// A shape of one, two or four dimensions as c_out c_in kh kw.
fn four(shape: &[usize]) -> Option<[usize; 4]> {
    match *shape {
        [c] => Some([c, 1, 1, 1]),
        [c_out, c_in] => Some([c_out, c_in, 1, 1]),
        [c_out, c_in, kh, kw] => Some([c_out, c_in, kh, kw]),
        _ => None,
    }
}
