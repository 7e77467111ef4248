//! What can be wrong with a pickle.

use crate::source::SourceError;

/// A pickle that was refused. Nothing in it was run.
#[derive(Debug, thiserror::Error)]
pub enum PickleError {
    /// Its bytes could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It breaks a rule.
    #[error("byte {position} of the pickle, {opcode}: {problem}")]
    Refused {
        /// The instruction at which it was refused, by its name in Python's documentation.
        opcode: &'static str,
        /// Offset in bytes of that instruction from the start of the pickle.
        position: u64,
        /// Which rule.
        problem: PickleProblem,
    },
}

/// The rule a pickle breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PickleProblem {
    /// It names a Python object that no checkpoint needs.
    #[error("the global \"{name}\" is not one that checkpoints consist of")]
    Global {
        /// Module and name.
        name: String,
    },
    /// It uses an instruction that no checkpoint needs.
    #[error("instruction {opcode:#04x} is not one that checkpoints consist of")]
    Opcode {
        /// The instruction.
        opcode: u8,
    },
    /// It says it is of a protocol that is not read.
    #[error("protocol {found} is not supported, expected 2, 3 or 4 as the first instruction")]
    Protocol {
        /// The protocol it says.
        found: u8,
    },
    /// It asks for more of something than any checkpoint needs.
    #[error("{limit} exceeded, at most {most}", most = limit.most())]
    Limit {
        /// Which limit.
        limit: Limit,
    },
    /// It ends in the middle.
    #[error("the pickle ends here, {expected} more bytes expected, {found} found")]
    End {
        /// Bytes the instruction needs.
        expected: u64,
        /// Bytes that are left.
        found: u64,
    },
    /// It goes on after its last instruction.
    #[error("{found} bytes follow the end of the pickle")]
    Longer {
        /// Bytes after the end.
        found: u64,
    },
    /// An instruction needs more values than the stack holds.
    #[error("the stack holds too few values")]
    Underflow,
    /// An instruction needs a mark and there is none.
    #[error("there is no mark on the stack")]
    NoMark,
    /// The end is reached with a mark, or more than one value, left.
    #[error("{found} values are left at the end, expected 1")]
    Leftover {
        /// Values and marks left.
        found: usize,
    },
    /// A value that was never stored is fetched.
    #[error("memo {index} was never set")]
    Memo {
        /// Which one.
        index: u32,
    },
    /// A value is stored under a number that no pickler would have come to.
    #[error("memo {index} is set, a number larger than the bytes before it")]
    MemoOrder {
        /// Which one.
        index: u32,
    },
    /// A value is not of the kind an instruction or a known name needs.
    #[error("{found} in place of {expected}")]
    Kind {
        /// What is needed.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// Something is called that may be named and not called.
    #[error("{name} cannot be made this way")]
    Call {
        /// What is called.
        name: &'static str,
    },
    /// A call with another number of arguments than the known name takes.
    #[error("{name} takes {expected} arguments, found {found}")]
    Arguments {
        /// What is called.
        name: &'static str,
        /// How many it takes.
        expected: &'static str,
        /// How many there are.
        found: usize,
    },
    /// A number that must not be negative, or is too large for the machine.
    #[error("{what} is {found}, expected a number from 0 that fits the machine")]
    Number {
        /// What the number is.
        what: &'static str,
        /// The number.
        found: i64,
    },
    /// A numpy type that does not stand for plain numbers.
    #[error("numpy type \"{found}\" does not stand for plain numbers or text")]
    NumpyType {
        /// The type as numpy spells it.
        found: String,
    },
    /// A numpy array whose bytes are not what its type and shape ask for.
    #[error("a numpy value of {expected} bytes has {found}")]
    NumpySize {
        /// Bytes by type and shape.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A tensor reaches outside its storage.
    #[error("a tensor reaches element {reached} of storage \"{storage}\", which has {n_elements}")]
    TensorRange {
        /// The storage.
        storage: String,
        /// Elements it has.
        n_elements: u64,
        /// Least number of elements that would hold the tensor.
        reached: u128,
    },
    /// A tensor whose dimensions' product does not fit the machine.
    #[error("the product of a tensor's {n_dims} dimensions does not fit the machine")]
    TensorSize {
        /// How many dimensions there are.
        n_dims: usize,
    },
    /// Shape and strides of a tensor differ in length.
    #[error("a tensor has {n_dims} dimensions and {n_strides} strides")]
    Strides {
        /// Number of dimensions.
        n_dims: usize,
        /// Number of strides.
        n_strides: usize,
    },
    /// One storage is described in two ways.
    #[error("storage \"{storage}\" is declared twice, with another type or size")]
    StorageConflict {
        /// The storage.
        storage: String,
    },
}

/// How much of something a pickle may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Instructions.
    Instructions,
    /// Bytes of one text or byte string.
    TextBytes,
    /// Bytes of the name of a global or a storage.
    NameBytes,
    /// Values inside values inside values.
    Depth,
    /// Bytes of all values together, each counted as often as it is used.
    ValueBytes,
    /// Bytes that tensors with repeated elements take when they are read.
    RepeatedBytes,
}

impl Limit {
    /// The largest number accepted.
    #[must_use]
    pub fn most(self) -> u64 {
        match self {
            Self::Instructions => 10_000_000,
            Self::TextBytes => 1 << 20,
            Self::NameBytes => 256,
            Self::Depth => 64,
            Self::ValueBytes | Self::RepeatedBytes => 256 << 20,
        }
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Instructions => "number of instructions",
            Self::TextBytes => "bytes of one text",
            Self::NameBytes => "bytes of a name",
            Self::Depth => "depth of values inside values (or a value contains itself)",
            Self::ValueBytes => "bytes of all values (or one value is used too often)",
            Self::RepeatedBytes => "bytes of tensors with repeated elements",
        })
    }
}
