//! A trained network as an ONNX file, which rten, onnxruntime and others run.
//!
//! The messages are those parts of <https://github.com/onnx/onnx/blob/v1.17.0/onnx/onnx.proto> that a straight list of
//! operators with its weights inside needs; operators are those of opset 13. Lists of numbers are not packed, as in all
//! messages of proto2. Maps are channels first there, as ONNX has them.

use prost::Message;

use super::graph::{Answer, Graph, Operation, Step};
use crate::parameters::{Parameters, Values};

const IR_VERSION: i64 = 8;
const OPSET: i64 = 13;
/// `TensorProto.DataType`.
const FLOAT: i32 = 1;
const INT64: i32 = 7;

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(string, tag = "2")]
    producer_name: String,
    #[prost(string, tag = "6")]
    doc_string: String,
    #[prost(message, optional, tag = "7")]
    graph: Option<GraphMessage>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<Opset>,
}

#[derive(Clone, PartialEq, Message)]
struct Opset {
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct GraphMessage {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<TensorMessage>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, optional, tag = "3")]
    i: Option<i64>,
    #[prost(bytes = "vec", optional, tag = "4")]
    s: Option<Vec<u8>>,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    /// 2 for a whole number, 3 for text, 7 for whole numbers (`AttributeProto.AttributeType`).
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct TensorMessage {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(string, tag = "8")]
    name: String,
    #[prost(bytes = "vec", tag = "9")]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Message)]
struct Kind {
    #[prost(message, optional, tag = "1")]
    tensor: Option<TensorKind>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorKind {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<ShapeMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ShapeMessage {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Side>,
}

/// A side by its length, or by a name where any length is accepted.
#[derive(Clone, PartialEq, Message)]
struct Side {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
}

/// The file of a network. `name` is that of its output, `note` what it says of itself.
pub(crate) fn write(graph: &Graph, parameters: &Parameters, name: &str, note: &str) -> Vec<u8> {
    let mut nodes = Vec::new();
    let mut weights: Vec<TensorMessage> =
        parameters.0.iter().map(|(name, Values { shape, values })| floats(name, shape, values)).collect();
    let n_steps = graph.steps.len();
    let map = |index: usize| match index {
        0 => "picture".to_owned(),
        index if index == n_steps => name.to_owned(),
        index => format!("map.{index}"),
    };
    for (step, index) in graph.steps.iter().zip(1..) {
        let inputs = step.reads.iter().map(|&index| map(index)).collect();
        operators(step, inputs, map(index), (&mut nodes, &mut weights));
    }
    let side = |value: usize| Side { value: Some(whole(value)), name: None };
    let info = |name: &str, sides: &[usize]| {
        let n = Side { value: None, name: Some("n".to_owned()) };
        let shape = ShapeMessage { dim: [n].into_iter().chain(sides.iter().map(|&px| side(px))).collect() };
        let tensor = TensorKind { elem_type: FLOAT, shape: Some(shape) };
        ValueInfo { name: name.to_owned(), kind: Some(Kind { tensor: Some(tensor) }) }
    };
    let side_px = graph.side_px;
    let output = match graph.answer {
        Answer::Vector(n) => info(name, &[n]),
        Answer::Map { channels, stride_px } => {
            info(name, &[channels, side_px / stride_px, side_px / stride_px])
        }
    };
    let message = GraphMessage {
        node: nodes,
        name: name.to_owned(),
        initializer: weights,
        input: vec![info("picture", &[3, side_px, side_px])],
        output: vec![output],
    };
    let model = Model {
        ir_version: IR_VERSION,
        producer_name: "tronie".to_owned(),
        doc_string: note.to_owned(),
        graph: Some(message),
        opset_import: vec![Opset { version: OPSET }],
    };
    model.encode_to_vec()
}

/// The operators of a step, and the tensors they need beside the weights.
fn operators(
    Step { operation, .. }: &Step,
    mut inputs: Vec<String>,
    output: String,
    (nodes, weights): (&mut Vec<Node>, &mut Vec<TensorMessage>),
) {
    let mut push = |op_type: &str, input: Vec<String>, output: String, attribute: Vec<Attribute>| {
        nodes.push(Node { input, output: vec![output], op_type: op_type.to_owned(), attribute });
    };
    match operation {
        Operation::Conv { name, kernel, stride, .. } => {
            inputs.extend([format!("{name}.weight"), format!("{name}.bias")]);
            let attributes = vec![
                list("kernel_shape", &[*kernel; 2]),
                list("strides", &[*stride; 2]),
                list("pads", &[kernel / 2; 4]),
            ];
            push("Conv", inputs, output, attributes);
        }
        Operation::Linear { name, widths: [d_in, _] } => {
            // The matrix has learned maps in the order rows, columns, channels.
            let (turned, flat) = (format!("{name}.turned"), format!("{name}.flat"));
            let shape = format!("{name}.shape");
            weights.push(numbers(&shape, &[-1, whole(*d_in)]));
            push("Transpose", inputs, turned.clone(), vec![list("perm", &[0, 2, 3, 1])]);
            push("Reshape", vec![turned, shape], flat.clone(), Vec::new());
            let input = vec![flat, format!("{name}.weight"), format!("{name}.bias")];
            push("Gemm", input, output, vec![number("transB", 1)]);
        }
        Operation::Relu => push("Relu", inputs, output, Vec::new()),
        Operation::Add => push("Add", inputs, output, Vec::new()),
        Operation::Double => {
            let scales = "double.scales";
            if weights.iter().all(|tensor| tensor.name != scales) {
                weights.push(floats(scales, &[4], &[1.0, 1.0, 2.0, 2.0]));
            }
            // An empty name leaves the region of interest out.
            inputs.extend([String::new(), scales.to_owned()]);
            let attributes = vec![
                text("mode", "nearest"),
                text("coordinate_transformation_mode", "asymmetric"),
                text("nearest_mode", "floor"),
            ];
            push("Resize", inputs, output, attributes);
        }
    }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn floats(name: &str, shape: &[usize], values: &[f32]) -> TensorMessage {
    let raw_data = values.iter().copied().flat_map(f32::to_le_bytes).collect();
    let dims = shape.iter().map(|&side| whole(side)).collect();
    TensorMessage { dims, data_type: FLOAT, name: name.to_owned(), raw_data }
}

fn numbers(name: &str, values: &[i64]) -> TensorMessage {
    let raw_data = values.iter().copied().flat_map(i64::to_le_bytes).collect();
    TensorMessage { dims: vec![whole(values.len())], data_type: INT64, name: name.to_owned(), raw_data }
}

fn number(name: &str, value: i64) -> Attribute {
    Attribute { name: name.to_owned(), i: Some(value), kind: 2, ..Attribute::default() }
}

fn text(name: &str, value: &str) -> Attribute {
    Attribute { name: name.to_owned(), s: Some(value.as_bytes().to_vec()), kind: 3, ..Attribute::default() }
}

fn list(name: &str, values: &[usize]) -> Attribute {
    let ints = values.iter().map(|&value| whole(value)).collect();
    Attribute { name: name.to_owned(), ints, kind: 7, ..Attribute::default() }
}
