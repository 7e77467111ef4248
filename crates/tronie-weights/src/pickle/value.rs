//! What a pickle says, as inert data.

use super::storage::TensorView;

/// A Python value that has no behaviour any more.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of up to 64 bits.
    Int(i64),
    /// A longer integer: two's complement, little-endian, without superfluous bytes.
    BigInt(Vec<u8>),
    /// A floating point number.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A set, in the order of the file.
    Set(Vec<Value>),
    /// A dictionary in the order of the file; every key is there once.
    Dict(Vec<(Value, Value)>),
    /// A tensor; [`crate::PickleFile::read_view`] reads its numbers.
    Tensor(TensorView),
    /// A numpy array.
    Array {
        /// Type as numpy spells it, without byte order: `f4`, `i8`, `U5`.
        dtype: String,
        /// Dimensions, outermost first.
        shape: Vec<usize>,
        /// Whether the first index runs fastest.
        column_major: bool,
        /// The numbers, little-endian.
        bytes: Vec<u8>,
    },
    /// The name of one of the known classes or functions, not an instance of it.
    Name(&'static str),
}

impl Value {
    /// The entry of a dictionary under a text key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        let mut pairs = self.as_dict()?.iter();
        let found = pairs.find(|(name, _)| name.as_text() == Some(key));
        found.map(|(_, value)| value)
    }

    /// The entries of a dictionary.
    #[must_use]
    pub fn as_dict(&self) -> Option<&[(Value, Value)]> {
        match self {
            Self::Dict(pairs) => Some(pairs),
            _ => None,
        }
    }

    /// The members of a list or tuple.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Self::List(values) | Self::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// Text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// A number, integer or not.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "Python's float() rounds too")]
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// A tensor.
    #[must_use]
    pub fn as_tensor(&self) -> Option<&TensorView> {
        match self {
            Self::Tensor(view) => Some(view),
            _ => None,
        }
    }

    /// Whether there is a tensor here or anywhere inside.
    #[must_use]
    pub fn has_tensor(&self) -> bool {
        match self {
            Self::Tensor(_) => true,
            Self::List(values) | Self::Tuple(values) | Self::Set(values) => {
                values.iter().any(Self::has_tensor)
            }
            Self::Dict(pairs) => pairs.iter().any(|(_, value)| value.has_tensor()),
            _ => false,
        }
    }
}
