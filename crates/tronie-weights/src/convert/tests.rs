use super::*;

fn tensor(dtype: Dtype, bytes: Vec<u8>) -> RawTensor {
    let shape = vec![bytes.len() / dtype.size_bytes()];
    RawTensor {
        meta: TensorMeta { dtype, shape },
        bytes,
    }
}

fn f32s(values: &[f32]) -> RawTensor {
    tensor(
        Dtype::F32,
        values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    )
}

fn u16s(tensor: &RawTensor) -> Vec<u16> {
    let (numbers, rest) = tensor.bytes.as_chunks::<2>();
    assert!(rest.is_empty());
    numbers.iter().map(|&number| u16::from_le_bytes(number)).collect()
}

#[test]
fn singles_round_to_the_nearest_half_ties_to_even() {
    // torch.tensor([...]).half().view(torch.int16): 2049 and 2051 are ties, 65520 is the first that overflows.
    let values = [1.0, 2049.0, 2051.0, 65519.0, 65520.0, 5.960_464_5e-8, -0.0];
    let half = f32s(&values).to_dtype(Dtype::F16).unwrap();
    assert_eq!(
        u16s(&half),
        [0x3c00, 0x6800, 0x6802, 0x7bff, 0x7c00, 0x0001, 0x8000]
    );
}

#[test]
fn singles_round_to_the_nearest_bfloat16_ties_to_even() {
    // 1 + 2^-8 is a tie between 1 and 1 + 2^-7; 1 + 3 * 2^-8 one between 1 + 2^-7 and 1 + 2^-6.
    let values = [1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, f32::INFINITY, 3.4e38];
    let rounded = f32s(&values).to_dtype(Dtype::BF16).unwrap();
    assert_eq!(u16s(&rounded), [0x3f80, 0x3f80, 0x3f82, 0x7f80, 0x7f80]);
}

#[test]
fn widening_and_narrowing_again_changes_no_number() {
    for dtype in [Dtype::F16, Dtype::BF16] {
        let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
        let narrow = tensor(dtype, bytes);
        for wide in [Dtype::F32, Dtype::F64] {
            let back = narrow.to_dtype(wide).unwrap().to_dtype(dtype).unwrap();
            let pairs = u16s(&narrow).into_iter().zip(u16s(&back));
            let nan_above = if dtype == Dtype::F16 { 0x7c00 } else { 0x7f80 };
            for (before, after) in pairs.filter(|(before, _)| before & 0x7fff <= nan_above) {
                assert_eq!(before, after, "{dtype:?} through {wide:?}");
            }
        }
    }
}

#[test]
fn integers_are_not_converted() {
    let error = tensor(Dtype::I64, vec![0; 8]).to_dtype(Dtype::F32).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot turn I64 numbers into F32, only F64, F32, F16 and BF16 into each other"
    );
    assert!(f32s(&[1.0]).to_dtype(Dtype::Bool).is_err());
}
