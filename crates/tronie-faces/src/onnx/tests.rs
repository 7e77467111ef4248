#![expect(clippy::cast_possible_truncation, reason = "a byte of a number")]

use tronie_base::{Fault, Faulty as _};
use tronie_testing::shared;

use super::*;

/// Protobuf messages, written field by field.
pub(crate) mod message {
    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    pub(crate) fn number(field: u64, value: u64) -> Vec<u8> {
        [varint(field << 3), varint(value)].concat()
    }

    pub(crate) fn bytes(field: u64, content: &[u8]) -> Vec<u8> {
        [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
    }

    /// A tensor of f32 called `name`, as an input or output.
    pub(crate) fn value_info(name: &str, sides: &[u64]) -> Vec<u8> {
        let sides: Vec<u8> = sides.iter().flat_map(|&side| bytes(1, &number(1, side))).collect();
        let tensor = [number(1, 1), bytes(2, &sides)].concat();
        [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &tensor))].concat()
    }

    /// A graph from "input" (1x3x4x4) to "output" by a Relu, with more fields.
    pub(crate) fn graph(more: &[Vec<u8>]) -> Vec<u8> {
        let relu = [bytes(1, b"input"), bytes(2, b"output"), bytes(4, b"Relu")].concat();
        let graph = [
            bytes(1, &relu),
            bytes(2, b"graph"),
            bytes(11, &value_info("input", &[1, 3, 4, 4])),
            bytes(12, &value_info("output", &[1, 3, 4, 4])),
        ];
        [graph.concat(), more.concat()].concat()
    }

    /// A model of opset 13.
    pub(crate) fn model(graph: &[u8]) -> Vec<u8> {
        [number(1, 8), bytes(8, &number(2, 13)), bytes(7, graph)].concat()
    }
}

/// A network of one 1x1 convolution from three channels to as many as there are weights, on pictures of `side` pixels; with
/// `is_pooled` it answers the mean of each channel.
pub(crate) fn convolution(weights: &[[f32; 3]], side: u64, is_pooled: bool) -> Session {
    let data: Vec<u8> = weights.iter().flatten().flat_map(|weight| weight.to_le_bytes()).collect();
    let n = weights.len() as u64;
    let sides: Vec<u8> = [n, 3, 1, 1].into_iter().flat_map(|side| message::number(1, side)).collect();
    let tensor = [sides, message::number(2, 1), message::bytes(8, b"w"), message::bytes(9, &data)].concat();
    // A list of whole numbers.
    let list = |name: &[u8], values: &[u64]| {
        let values: Vec<u8> = values.iter().flat_map(|&value| message::number(8, value)).collect();
        message::bytes(5, &[message::bytes(1, name), values, message::number(20, 7)].concat())
    };
    let convolution = [
        message::bytes(1, b"input"),
        message::bytes(1, b"w"),
        message::bytes(2, b"maps"),
        message::bytes(4, b"Conv"),
        list(b"strides", &[1, 1]),
        list(b"dilations", &[1, 1]),
        list(b"pads", &[0, 0, 0, 0]),
    ];
    let pool =
        [message::bytes(1, b"maps"), message::bytes(2, b"means"), message::bytes(4, b"GlobalAveragePool")];
    let (output, out_side) = if is_pooled { ("means", 1) } else { ("maps", side) };
    let graph = [
        message::bytes(1, &convolution.concat()),
        message::bytes(1, &pool.concat()),
        message::bytes(2, b"graph"),
        message::bytes(5, &tensor),
        message::bytes(11, &message::value_info("input", &[1, 3, side, side])),
        message::bytes(12, &message::value_info(output, &[1, n, out_side, out_side])),
    ];
    let signature = Signature { input: [None, Some(3), None, None], outputs: &[], n_outputs: 1 };
    open(message::model(&graph.concat()), &signature).unwrap().session()
}

const SIGNATURE: Signature =
    Signature { input: [None, Some(3), Some(4), Some(4)], outputs: &["output"], n_outputs: 1 };

fn open(bytes: Vec<u8>, signature: &Signature) -> Result<Network, FacesError> {
    Network::from_bytes(bytes, Path::new("net.onnx"), signature)
}

#[test]
fn a_network_runs_batch_by_batch() {
    let session = open(message::model(&message::graph(&[])), &SIGNATURE).unwrap().session();
    let pictures = [vec![-1.0; 48], vec![2.0; 48], vec![3.0; 48]];
    let outputs = session.run(&pictures, [3, 4, 4]).unwrap();
    assert_eq!(outputs[0].shape, [3, 3, 4, 4]);
    let firsts: Vec<f32> = outputs[0].rows().map(|row| row[0]).collect();
    assert_eq!(firsts, [0.0, 2.0, 3.0]);
    assert!(session.run(&[], [3, 4, 4]).unwrap().is_empty());
}

#[test]
fn another_input_or_output_is_told_with_both() {
    let file = message::model(&message::graph(&[]));
    let other_side = Signature { input: [None, Some(3), Some(8), Some(8)], ..SIGNATURE };
    let error = open(file.clone(), &other_side).unwrap_err();
    assert_eq!(error.to_string(), "net.onnx: has shape 1x3x4x4, expected shape ?x3x8x8");
    let other_output = Signature { outputs: &["scores"], ..SIGNATURE };
    let error = open(file.clone(), &other_output).unwrap_err();
    assert_eq!(error.to_string(), "net.onnx: has the outputs [\"output\"], expected scores");
    let more_outputs = Signature { outputs: &[], n_outputs: 9, ..SIGNATURE };
    let error = open(file, &more_outputs).unwrap_err();
    assert_eq!(error.to_string(), "net.onnx: has the outputs [\"output\"], expected 9 of any name");
    assert_eq!(error.fault(), Fault::Input);
}

#[test]
fn operators_that_face_networks_do_not_have_are_refused() {
    let node = [message::bytes(1, b"input"), message::bytes(2, b"x"), message::bytes(4, b"NonZero")].concat();
    let error = open(message::model(&message::graph(&[message::bytes(1, &node)])), &SIGNATURE).unwrap_err();
    assert!(error.to_string().contains("NonZero"), "{error}");
}

#[test]
fn a_refused_file_is_named_with_the_reason() {
    let error = open(b"not a network".to_vec(), &SIGNATURE).unwrap_err();
    assert_eq!(error.to_string(), "net.onnx: refused: it is not a whole ONNX file");
    assert_eq!(error.fault(), Fault::Input);
}

#[test]
fn real_networks_cut_at_many_places_are_refused() {
    let Some(shared) = shared("real_networks_cut_at_many_places_are_refused") else { return };
    let whole = std::fs::read(shared.join("data/nets/faceapi_expression.onnx")).unwrap();
    for part in 0..200 {
        let cut = whole[..whole.len() * part / 200].to_vec();
        let signature = Signature { input: [None; 4], outputs: &["probabilities"], n_outputs: 1 };
        assert!(open(cut, &signature).is_err(), "{part}/200");
    }
}
