use super::*;
use crate::onnx::tests::message::*;

#[track_caller]
fn assert_refused(file: &[u8], says: &str) {
    let refusal = inspect(file).unwrap_err().to_string();
    assert!(refusal.contains(says), "\"{refusal}\" should say \"{says}\"");
}

#[test]
fn a_list_of_operators_with_its_weights_passes() {
    inspect(&model(&graph(&[]))).unwrap();
}

#[test]
fn weights_in_other_files_are_refused_however_they_are_named() {
    for location in ["../../etc/passwd", "/etc/passwd", "weights.bin", ""] {
        let entry = [bytes(1, b"location"), bytes(2, location.as_bytes())].concat();
        let by_entry = [number(1, 4), number(2, 1), bytes(8, b"w"), bytes(13, &entry)].concat();
        assert_refused(&model(&graph(&[bytes(5, &by_entry)])), "tensor \"w\" lies in another file");
    }
    let by_flag = [number(1, 4), number(2, 1), bytes(8, b"w"), number(14, 1)].concat();
    assert_refused(&model(&graph(&[bytes(5, &by_flag)])), "lies in another file");
    // The same inside an attribute of an operator.
    let constant = [bytes(4, b"Constant"), bytes(5, &bytes(5, &by_flag))].concat();
    assert_refused(&model(&graph(&[bytes(1, &constant)])), "lies in another file");
}

#[test]
fn loops_functions_training_and_sparse_weights_are_refused() {
    let looping = [bytes(4, b"Loop"), bytes(5, &bytes(6, &graph(&[])))].concat();
    assert_refused(&model(&graph(&[bytes(1, &looping)])), "loops or branches");
    assert_refused(&model(&graph(&[bytes(15, b"")])), "sparse tensors");
    let sparse = [bytes(4, b"Constant"), bytes(5, &bytes(22, b""))].concat();
    assert_refused(&model(&graph(&[bytes(1, &sparse)])), "sparse tensors");
    assert_refused(&[model(&graph(&[])), bytes(20, b"")].concat(), "training steps");
    assert_refused(&[model(&graph(&[])), bytes(25, b"")].concat(), "functions");
}

#[test]
fn a_graph_nested_a_million_deep_is_refused_at_its_first_level() {
    let mut nested = graph(&[]);
    for _ in 0..1000 {
        nested = graph(&[bytes(1, &[bytes(4, b"If"), bytes(5, &bytes(6, &nested))].concat())]);
    }
    assert_refused(&model(&nested), "loops or branches");
}

#[test]
fn operators_of_other_domains_are_refused() {
    let custom = [bytes(4, b"Exec"), bytes(7, b"com.example")].concat();
    assert_refused(&model(&graph(&[bytes(1, &custom)])), "operator \"Exec\" is of domain \"com.example\"");
}

#[test]
fn shapes_that_contradict_the_data_are_refused() {
    let tensor = |sides: &[u64], data: &[u8]| {
        let sides: Vec<u8> = sides.iter().flat_map(|&side| number(1, side)).collect();
        let tensor = [sides, number(2, 1), bytes(8, b"w"), bytes(9, data)].concat();
        model(&graph(&[bytes(5, &tensor)]))
    };
    inspect(&tensor(&[2, 2], &[0; 16])).unwrap();
    let hostile: [&[u64]; 6] =
        [&[1 << 63], &[1 << 40, 1 << 40], &[u64::MAX], &[2, 3], &[0, 4], &[(1 << 31) + 1]];
    for sides in hostile {
        assert_refused(&tensor(sides, &[0; 16]), "tensor \"w\" has shape");
    }
}

#[test]
fn paddings_and_sides_that_would_fill_the_memory_are_refused() {
    let list = |value: i64| {
        let data =
            [0_i64, 0, value, 0, 0, 0, 0, 0].iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        bytes(5, &[number(1, 8), number(2, 7), bytes(8, b"pads"), bytes(9, &data)].concat())
    };
    let pad = bytes(1, &[bytes(1, b"input"), bytes(1, b"pads"), bytes(4, b"Pad")].concat());
    inspect(&model(&graph(&[pad.clone(), list(16)]))).unwrap();
    assert_refused(&model(&graph(&[pad, list(1 << 40)])), "operator Pad has the operand");
    let attribute = [bytes(1, b"pads"), number(8, 1 << 40)].concat();
    let old_pad = bytes(1, &[bytes(1, b"input"), bytes(4, b"Pad"), bytes(5, &attribute)].concat());
    assert_refused(&model(&graph(&[old_pad])), "operator Pad has the operand");
    // The same limit for an operand that is a constant operator's output.
    let tensor = [number(1, 1), number(2, 1), bytes(9, &1e9_f32.to_le_bytes())].concat();
    let constant = [bytes(2, b"scale"), bytes(4, b"Constant"), bytes(5, &bytes(5, &tensor))].concat();
    let resize = [bytes(1, b"input"), bytes(1, b"scale"), bytes(4, b"Resize")].concat();
    let file = model(&graph(&[bytes(1, &constant), bytes(1, &resize)]));
    assert_refused(&file, "operator Resize has the operand 1000000000");
}

#[test]
fn a_graph_of_two_hundred_thousand_operators_is_refused() {
    let node = bytes(1, &bytes(4, b"Relu"));
    assert_refused(&model(&graph(&[node.repeat(200_000)])), "more than 100000 operators");
}

#[test]
fn files_that_are_no_onnx_or_cut_short_are_refused() {
    assert_refused(b"", "no graph");
    assert_refused(b"not a network", "whole ONNX file");
    let whole = model(&graph(&[]));
    for length in 1..whole.len() {
        assert!(inspect(&whole[..length]).is_err(), "{length} of {} bytes", whole.len());
    }
    assert_refused(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "whole ONNX file");
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_inspection_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
        let _ = inspect(&bytes);
        let _ = inspect(&model(&bytes));
    }
}
