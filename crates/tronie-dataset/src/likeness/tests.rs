use proptest::prelude::*;
use tronie_base::{Silent, derive_seed};

use super::*;

fn print(index: usize, hash: u64, embedding: Option<Vec<f32>>) -> Print {
    Print { pixels_sha256: index.to_string(), hash, embedding }
}

/// Vectors around a few centers, so that there are cosines of all sizes.
fn vectors(n: u64, width: u64) -> Vec<Print> {
    let number = |name: &str, index: u64| derive_seed(name, index) as f32 / 4_294_967_296.0 - 0.5;
    let vector = |index: u64| {
        let center = derive_seed("center", index) % (n / 3 + 1);
        let spread = number("spread", index).abs();
        (0..width)
            .map(|k| number("centers", center * width + k) + spread * number("noise", index * width + k))
            .collect()
    };
    let prints = (0..n)
        .map(|index| print(usize::try_from(index).unwrap(), derive_seed("hash", index), Some(vector(index))));
    prints.collect()
}

fn faces(prints: &[Print], cosine: f32) -> Vec<Pair> {
    alike(prints, Limits { hash_bits: None, cosine: Some(cosine) }, &mut Silent).unwrap()
}

#[test]
fn pairs_are_those_of_brute_force_across_blocks() {
    let prints = vectors(2300, 48);
    let found: HashSet<(usize, usize)> = faces(&prints, 0.97).iter().map(|pair| (pair.a, pair.b)).collect();
    let mut expected = HashSet::new();
    for (b, second) in prints.iter().enumerate() {
        for (a, first) in prints.iter().enumerate().take(b) {
            let (first, second) = (first.embedding.as_ref().unwrap(), second.embedding.as_ref().unwrap());
            // Scaling to length 1 in f32 moves a cosine by less than 1e-6; these vectors have none so near.
            let cosine = cosine(first, second);
            assert!((cosine - f64::from(0.97_f32)).abs() > 1e-7);
            if cosine > f64::from(0.97_f32) {
                expected.insert((a, b));
            }
        }
    }
    assert!(expected.len() > 100, "{}", expected.len());
    assert_eq!(found, expected);
}

#[test]
fn no_two_kept_pictures_are_alike_and_every_other_repeats_a_kept_one() {
    let prints = vectors(1500, 32);
    let pairs = faces(&prints, 0.9);
    let order: Vec<usize> = (0..prints.len()).rev().collect();
    let repeats = best(prints.len(), &pairs, &order);
    let kept: Vec<usize> = (0..prints.len()).filter(|&index| repeats[index].is_none()).collect();
    for &b in &kept {
        for &a in kept.iter().take_while(|&&a| a < b) {
            let [first, second] = [a, b].map(|index| prints[index].embedding.as_ref().unwrap());
            assert!(cosine(first, second) <= f64::from(0.9_f32) + 1e-6, "{a} {b}");
        }
    }
    for (index, pair) in repeats.iter().enumerate().filter_map(|(index, pair)| Some((index, pair.as_ref()?)))
    {
        assert!(repeats[pair.a + pair.b - index].is_none(), "{index} repeats one that is not kept");
    }
    assert!(kept.len() < prints.len() && kept.len() > 100);
    assert!(repeats[prints.len() - 1].is_none(), "the best one is kept");
}

#[test]
fn a_chain_keeps_both_of_its_ends() {
    let pair = |a, b| Pair { a, b, likeness: Likeness::HashBits(1) };
    let repeats = best(3, &[pair(0, 1), pair(1, 2)], &[0, 1, 2]);
    assert_eq!(repeats, [None, Some(pair(0, 1)), None]);
    assert_eq!(best(3, &[pair(0, 1), pair(1, 2)], &[1, 0, 2]), [Some(pair(0, 1)), None, Some(pair(1, 2))]);
}

#[test]
fn pixels_and_hashes_come_before_embeddings() {
    let mut prints = vec![
        print(0, 0b1111, Some(vec![1.0, 0.0])),
        print(1, 0b1100, Some(vec![1.0, 0.0])),
        print(2, u64::MAX, Some(vec![0.0, 2.0])),
        print(3, 0, None),
        print(4, 0xF0F0, Some(vec![0.0, 0.0])),
    ];
    prints.push(Print { pixels_sha256: "2".to_owned(), ..prints[2].clone() });
    let limits = Limits { hash_bits: Some(2), cosine: Some(0.5) };
    let found = alike(&prints, limits, &mut Silent).unwrap();
    let expected = [(0, 1, Likeness::HashBits(2)), (1, 3, Likeness::HashBits(2)), (2, 5, Likeness::Pixels)];
    let expected = expected.map(|(a, b, likeness)| Pair { a, b, likeness });
    assert_eq!(found, expected);
    let mixed = [print(0, 0, Some(vec![1.0])), print(1, 0, Some(vec![1.0, 0.0]))];
    let error = alike(&mixed, limits, &mut Silent).unwrap_err();
    assert_eq!(error.to_string(), "embeddings of 1 and of 2 numbers, expected those of one network");
}

proptest! {
    #[test]
    fn hashes_are_compared_with_each_other_once(
        hashes in proptest::collection::vec(0_u64..64, 0..40), limit in 0_u32..4,
    ) {
        let prints: Vec<Print> = hashes.iter().enumerate().map(|(index, &hash)| print(index, hash, None)).collect();
        let found = alike(&prints, Limits { hash_bits: Some(limit), cosine: None }, &mut Silent).unwrap();
        let mut expected = Vec::new();
        for a in 0..hashes.len() {
            for b in a + 1..hashes.len() {
                let n_bits = (hashes[a] ^ hashes[b]).count_ones();
                if n_bits <= limit {
                    expected.push(Pair { a, b, likeness: Likeness::HashBits(n_bits) });
                }
            }
        }
        prop_assert_eq!(found, expected);
    }
}
