//! What an ONNX file may not contain, found before anything of it is interpreted.
//!
//! A face network is a straight list of operators with its weights inside. Whatever else the format offers (weights in
//! other files, loops and branches, functions, training steps, foreign operators) is refused, and with it every way such
//! files have been used to read other files, to run forever or to fill the memory. Field numbers are those of
//! <https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto>.

use std::collections::BTreeMap;

use super::wire::{Field, Fields};

/// Most operators of a network; the largest face networks in use have about a thousand.
const MAX_NODES: usize = 100_000;
/// Most elements of one tensor.
const MAX_ELEMENTS: u64 = 1 << 31;
/// Tensors up to this length are looked into, because they may be operands of [`GROWING`].
const MAX_OPERANDS: u64 = 64;
/// Operators that make maps as large as their operands say.
const GROWING: [&str; 3] = ["Pad", "Resize", "Upsample"];
/// Largest number in an operand of those: a padding or a side in pixels, or a factor.
const MAX_OPERAND: f64 = 16_384.0;

/// Why a network file is not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a protobuf message, or one cut short.
    #[error("it is not a whole ONNX file")]
    Malformed,
    /// No graph.
    #[error("it has no graph of operators")]
    NoGraph,
    /// Weights that lie in another file.
    #[error("tensor \"{tensor}\" lies in another file, expected all weights inside")]
    ExternalData {
        /// Name of the tensor.
        tensor: String,
    },
    /// A part of the format that no face network needs.
    #[error("it has {what}, expected operators and weights only")]
    Unneeded {
        /// What it has.
        what: &'static str,
    },
    /// An operator of another domain than ONNX's own.
    #[error("operator \"{operator}\" is of domain \"{domain}\", expected operators of ONNX only")]
    ForeignOperator {
        /// Its type.
        operator: String,
        /// Its domain.
        domain: String,
    },
    /// Too many operators.
    #[error("it has more than {MAX_NODES} operators")]
    TooManyNodes,
    /// Sides that contradict the bytes, are zero, negative or absurdly large.
    #[error("tensor \"{tensor}\" has shape {shape:?} and {found_bytes} bytes, which do not belong together")]
    Shape {
        /// Name of the tensor.
        tensor: String,
        /// Its sides.
        shape: Vec<i64>,
        /// Bytes of its data.
        found_bytes: usize,
    },
    /// A padding, side or factor that would fill the memory.
    #[error("operator {operator} has the operand {found}, expected at most {MAX_OPERAND}")]
    Operand {
        /// Type of the operator.
        operator: String,
        /// The operand, as text.
        found: String,
    },
}

/// Passes a file that holds a straight list of operators and its weights, and nothing else.
///
/// # Errors
/// The first [`Refusal`].
pub(super) fn inspect(file: &[u8]) -> Result<(), Refusal> {
    let mut n_graphs = 0;
    for field in Fields::of(file) {
        match field? {
            (7, Field::Bytes(graph)) => {
                inspect_graph(graph)?;
                n_graphs += 1;
            }
            (20, _) => return Err(Refusal::Unneeded { what: "training steps" }),
            (25, _) => return Err(Refusal::Unneeded { what: "functions" }),
            _ => {}
        }
    }
    if n_graphs == 1 { Ok(()) } else { Err(Refusal::NoGraph) }
}

/// An operator of [`GROWING`]: its type, the names of its operands, the largest number among its attributes.
struct Growing<'a> {
    operator: &'a str,
    operands: Vec<&'a [u8]>,
    largest: f64,
}

fn inspect_graph(graph: &[u8]) -> Result<(), Refusal> {
    let mut n_nodes = 0;
    let mut growing = Vec::new();
    let mut largest_by_name = BTreeMap::new();
    for field in Fields::of(graph) {
        match field? {
            (1, Field::Bytes(node)) => {
                n_nodes += 1;
                if n_nodes > MAX_NODES {
                    return Err(Refusal::TooManyNodes);
                }
                let node = Node::read(node)?;
                if node.operator == "Constant" {
                    largest_by_name.extend(node.outputs.iter().map(|&name| (name, node.largest)));
                } else if GROWING.contains(&node.operator) {
                    let Node { operator, inputs: operands, largest, .. } = node;
                    growing.push(Growing { operator, operands, largest });
                }
            }
            (5, Field::Bytes(tensor)) => {
                let tensor = Tensor::read(tensor)?;
                largest_by_name.insert(tensor.name, tensor.largest()?);
            }
            (15, _) => return Err(Refusal::Unneeded { what: "sparse tensors" }),
            _ => {}
        }
    }
    for Growing { operator, operands, largest } in growing {
        let of_operands = operands.iter().filter_map(|name| largest_by_name.get(name));
        let found = of_operands.fold(largest, |a: f64, &b| a.max(b));
        if found > MAX_OPERAND {
            return Err(Refusal::Operand { operator: operator.to_owned(), found: found.to_string() });
        }
    }
    Ok(())
}

struct Node<'a> {
    operator: &'a str,
    inputs: Vec<&'a [u8]>,
    outputs: Vec<&'a [u8]>,
    largest: f64,
}

impl<'a> Node<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Refusal> {
        let mut node = Self { operator: "", inputs: Vec::new(), outputs: Vec::new(), largest: 0.0 };
        let mut domain = "";
        for field in Fields::of(message) {
            match field? {
                (1, Field::Bytes(name)) => node.inputs.push(name),
                (2, Field::Bytes(name)) => node.outputs.push(name),
                (4, Field::Bytes(operator)) => node.operator = text(operator)?,
                (5, Field::Bytes(attribute)) => {
                    node.largest = node.largest.max(attribute_largest(attribute)?)
                }
                (7, Field::Bytes(name)) => domain = text(name)?,
                _ => {}
            }
        }
        if !matches!(domain, "" | "ai.onnx") {
            let (operator, domain) = (node.operator.to_owned(), domain.to_owned());
            return Err(Refusal::ForeignOperator { operator, domain });
        }
        Ok(node)
    }
}

/// The largest number in an attribute.
fn attribute_largest(message: &[u8]) -> Result<f64, Refusal> {
    let mut largest = 0.0_f64;
    for field in Fields::of(message) {
        let number = match field? {
            (2 | 7, Field::Four(bytes)) => f64::from(f32::from_le_bytes(bytes)),
            (3 | 8, Field::Number(number)) => signed(number) as f64,
            (7, Field::Bytes(packed)) => max_of(packed, |bytes| f64::from(f32::from_le_bytes(bytes))),
            (8, Field::Bytes(packed)) => max_varint(packed)?,
            (5 | 10, Field::Bytes(tensor)) => Tensor::read(tensor)?.largest()?,
            (6 | 11, _) => return Err(Refusal::Unneeded { what: "loops or branches" }),
            (22 | 23, _) => return Err(Refusal::Unneeded { what: "sparse tensors" }),
            _ => continue,
        };
        largest = largest.max(number);
    }
    Ok(largest)
}

struct Tensor<'a> {
    name: &'a [u8],
    shape: Vec<i64>,
    data_type: u64,
    data: Vec<(u64, Field<'a>)>,
}

impl<'a> Tensor<'a> {
    fn read(message: &'a [u8]) -> Result<Self, Refusal> {
        let mut tensor = Self { name: b"", shape: Vec::new(), data_type: 0, data: Vec::new() };
        let mut is_external = false;
        for field in Fields::of(message) {
            match field? {
                (1, Field::Number(side)) => tensor.shape.push(signed(side)),
                (1, Field::Bytes(packed)) => {
                    let mut sides = Fields::of(packed);
                    while !sides.is_empty() {
                        tensor.shape.push(signed(sides.varint()?));
                    }
                }
                (2, Field::Number(data_type)) => tensor.data_type = data_type,
                (8, Field::Bytes(name)) => tensor.name = name,
                (number @ (4 | 5 | 7 | 9 | 10 | 11), field) => tensor.data.push((number, field)),
                (13, _) | (14, Field::Number(1..)) => is_external = true,
                _ => {}
            }
        }
        if is_external {
            return Err(Refusal::ExternalData { tensor: tensor.label() });
        }
        tensor.check_shape()?;
        Ok(tensor)
    }

    fn label(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }

    /// Raw data must be as long as the shape says; a side of zero is fine only in a list, where it means "left out".
    fn check_shape(&self) -> Result<(), Refusal> {
        let raw = self.data.iter().find_map(|field| match field {
            (9, Field::Bytes(bytes)) => Some(bytes.len()),
            _ => None,
        });
        let mut sides = self.shape.iter().map(|&side| u64::try_from(side).ok());
        let n = sides.try_fold(1_u64, |n, side| n.checked_mul(side?)).filter(|&n| n <= MAX_ELEMENTS);
        let is_hollow = self.shape.len() > 1 && n == Some(0);
        let fits = match (n, raw, element_bytes(self.data_type)) {
            (Some(n), Some(raw), Some(element_bytes)) => n * element_bytes == raw as u64,
            (n, _, _) => n.is_some(),
        };
        if fits && !is_hollow {
            return Ok(());
        }
        let (tensor, shape) = (self.label(), self.shape.clone());
        Err(Refusal::Shape { tensor, shape, found_bytes: raw.unwrap_or(0) })
    }

    /// The largest number of a short tensor of f32 or i64, 0 for any other.
    fn largest(&self) -> Result<f64, Refusal> {
        let n: i64 = self.shape.iter().product();
        let mut largest = 0.0_f64;
        for (number, field) in self.data.iter().filter(|_| n.unsigned_abs() <= MAX_OPERANDS) {
            let found = match (number, field, self.data_type) {
                (4 | 9, Field::Bytes(data), FLOAT) => max_of(data, |b| f64::from(f32::from_le_bytes(b))),
                (9, Field::Bytes(data), INT64) => max_of(data, |b| i64::from_le_bytes(b) as f64),
                (7, Field::Bytes(data), INT64) => max_varint(data)?,
                (7, Field::Number(data), INT64) => signed(*data) as f64,
                (4, Field::Four(data), FLOAT) => f64::from(f32::from_le_bytes(*data)),
                _ => continue,
            };
            largest = largest.max(found);
        }
        Ok(largest)
    }
}

const FLOAT: u64 = 1;
const INT64: u64 = 7;

/// Bytes of one element of a data type; `None` for types whose length says nothing about their number.
fn element_bytes(data_type: u64) -> Option<u64> {
    match data_type {
        2 | 3 | 9 => Some(1),       // uint8, int8, bool
        4 | 5 | 10 | 16 => Some(2), // uint16, int16, float16, bfloat16
        FLOAT | 6 | 12 => Some(4),  // float, int32, uint32
        INT64 | 11 | 13 => Some(8), // int64, double, uint64
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    std::str::from_utf8(bytes).map_err(|_| Refusal::Malformed)
}

/// Protobuf's int64: two's complement in an unsigned number.
fn signed(number: u64) -> i64 {
    number.cast_signed()
}

fn max_of<const N: usize>(packed: &[u8], number: impl Fn([u8; N]) -> f64) -> f64 {
    let (chunks, _) = packed.as_chunks::<N>();
    chunks.iter().map(|&chunk| number(chunk)).fold(0.0, f64::max)
}

fn max_varint(packed: &[u8]) -> Result<f64, Refusal> {
    let mut numbers = Fields::of(packed);
    let mut largest = 0.0_f64;
    while !numbers.is_empty() {
        largest = largest.max(signed(numbers.varint()?) as f64);
    }
    Ok(largest)
}

#[cfg(test)]
mod tests;
