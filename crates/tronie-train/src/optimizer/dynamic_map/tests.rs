use tronie_testing::{Golden, assert_close, synthetic};

use super::*;

#[test]
fn the_rule_gives_the_values_of_bitsandbytes() {
    let golden = Golden::open("training/optimizers");
    for (name, map) in [("signed", DynamicMap::signed()), ("unsigned", DynamicMap::unsigned())] {
        let expected = golden.f32(&format!("dynamic_map/{name}"));
        for (found, expected) in map.values.iter().zip(&expected) {
            assert_close(&[*found], &[*expected], 1e-6); // each value, also those of 1e-7
        }
    }
}

#[test]
fn every_value_is_its_own_code_and_the_codes_rise() {
    for map in [DynamicMap::signed(), DynamicMap::unsigned()] {
        assert!(map.values.is_sorted_by(|a, b| a < b));
        for (code, &value) in (0..=u8::MAX).zip(&map.values) {
            assert_eq!(map.nearest(value), code, "{value}");
        }
        let line = (-1100..=1100).map(|i| map.nearest(i as f32 / 1000.0));
        assert!(line.is_sorted());
        assert_eq!((map.nearest(-9.0), map.nearest(9.0)), (0, 255));
    }
}

/// The widest gap is that of the top decade, 0.9 / 64 signed and 0.9 / 128 unsigned; below -0.993 there is no code.
#[test]
fn no_number_moves_by_more_than_half_a_gap() {
    let (mut codes, mut decoded) = ([0; 256], [0.0; 256]);
    for (map, half_gap, fold) in [
        (DynamicMap::signed(), 0.9 / 128.0, (|x| x) as fn(f32) -> f32),
        (DynamicMap::unsigned(), 0.9 / 256.0, f32::abs),
    ] {
        for block in 0..20 {
            let size = 10.0_f32.powi(block - 10);
            let numbers = synthetic::input(&format!("block.{block}"), &[256]);
            let numbers: Vec<f32> = numbers.into_iter().map(|x| fold(x).powi(3) * size).collect();
            let scale = map.encode(&numbers, &mut codes);
            map.decode(&codes, scale, &mut decoded);
            assert_eq!(scale, numbers.iter().fold(0.0, |max, x| x.abs().max(max)));
            for (number, decoded) in numbers.iter().zip(decoded) {
                let error = (number - decoded).abs() / scale;
                assert!(error <= half_gap * 1.001, "{number} of {scale} became {decoded}");
            }
        }
    }
}

#[test]
fn what_was_decoded_encodes_to_the_same_again() {
    let map = DynamicMap::signed();
    let mut numbers = synthetic::input("again", &[256]);
    numbers[7] = 3.0; // the largest, and exact: its code is that of 1
    let (mut codes, mut again) = ([0; 256], [0; 256]);
    let scale = map.encode(&numbers, &mut codes);
    map.decode(&codes, scale, &mut numbers);
    assert_eq!((map.encode(&numbers, &mut again), again), (scale, codes));
}

#[test]
fn second_moments_above_0_stay_above_0() {
    let map = DynamicMap::unsigned();
    assert_eq!([0.0, f32::MIN_POSITIVE, 1e-9, 5e-7, 6e-7].map(|number| map.nearest(number)), [0, 1, 1, 1, 2]);
}

#[test]
fn a_block_of_zeros_stays_zero() {
    for map in [DynamicMap::signed(), DynamicMap::unsigned()] {
        let (mut codes, mut decoded) = ([9; 3], [9.0; 3]);
        assert_eq!(map.encode(&[0.0; 3], &mut codes), 0.0);
        map.decode(&codes, 0.0, &mut decoded);
        assert_eq!(decoded, [0.0; 3]);
    }
}
