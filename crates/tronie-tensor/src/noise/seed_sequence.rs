//! The seeds of a Brownian tree's nodes: NumPy's `SeedSequence`.
//!
//! M. E. O'Neill, "Developing a seed_seq alternative" (2015), as NumPy fixes its constants (NEP 19 promises that the
//! stream never changes).
#![expect(clippy::indexing_slicing, reason = "indices are below the pool's size")]

const INIT_A: u32 = 0x43B0_D7E5;
const MULT_A: u32 = 0x931E_8875;
const INIT_B: u32 = 0x8B51_F9DD;
const MULT_B: u32 = 0x58F3_8DED;
const MIX_LEFT: u32 = 0xCA01_F9DD;
const MIX_RIGHT: u32 = 0x4973_F715;

/// torchsde's choice for its trees.
const POOL_SIZE: usize = 24;

/// `SeedSequence(entropy, spawn_key=spawn_key, pool_size=24).generate_state(n)`.
///
/// `spawn_key` is empty for the root of a tree.
pub(super) fn generate_state<const N: usize>(entropy: u64, spawn_key: &[u64]) -> [u32; N] {
    let pool = mix(&words(entropy, spawn_key));
    let mut hash = INIT_B;
    std::array::from_fn(|i| {
        let value = pool[i % POOL_SIZE] ^ hash;
        hash = hash.wrapping_mul(MULT_B);
        let value = value.wrapping_mul(hash);
        value ^ (value >> 16)
    })
}

/// Entropy and key as 32-bit words, low word first; the entropy is padded to the pool's size before a key.
fn words(entropy: u64, spawn_key: &[u64]) -> Vec<u32> {
    let mut words = Vec::new();
    push_words(entropy, &mut words);
    if !spawn_key.is_empty() {
        words.resize(POOL_SIZE, 0);
    }
    for &part in spawn_key {
        push_words(part, &mut words);
    }
    words
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn push_words(value: u64, words: &mut Vec<u32>) {
    words.push(value as u32);
    if value >> 32 != 0 {
        words.push((value >> 32) as u32);
    }
}

/// Hashes all words into the pool so that every word reaches every place of it.
fn mix(words: &[u32]) -> [u32; POOL_SIZE] {
    let mut hash = INIT_A;
    let mut hashed = |value: u32| {
        let value = value ^ hash;
        hash = hash.wrapping_mul(MULT_A);
        let value = value.wrapping_mul(hash);
        value ^ (value >> 16)
    };
    let mut pool: [u32; POOL_SIZE] =
        std::array::from_fn(|i| hashed(words.get(i).copied().unwrap_or_default()));
    for source in 0..POOL_SIZE {
        for target in (0..POOL_SIZE).filter(|&target| target != source) {
            pool[target] = combine(pool[target], hashed(pool[source]));
        }
    }
    for &word in words.iter().skip(POOL_SIZE) {
        for place in &mut pool {
            *place = combine(*place, hashed(word));
        }
    }
    pool
}

fn combine(x: u32, y: u32) -> u32 {
    let value = MIX_LEFT.wrapping_mul(x).wrapping_sub(MIX_RIGHT.wrapping_mul(y));
    value ^ (value >> 16)
}
