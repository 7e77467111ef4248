"""Goldens of tronie-tensor's noise: Philox, PyTorch's CPU normals, Brownian trees, variation seeds.

    python reference/noise.py

Files are small: long draws are stored as every 61st number and a checksum over the bits of all of them.
"""

import warnings

import numpy as np
import torch
import torchsde  # noqa: F401  (its version goes into the manifest)
from golden import save
from k_diffusion.sampling import BrownianTreeNoiseSampler, get_sigmas_karras

torch.set_num_threads(1)
warnings.filterwarnings("ignore", message="Should have")  # queries outside of a tree are part of the test

LONG, STRIDE = 200, 61
SEEDS = [0, 1, 42, 115, 1337, 2483964025, 2**31 - 1, 2**32 - 1, 2**32, 2**32 + 1, 123456789012345678, 2**63 - 1]


def halves(number):
    """Seeds as two numbers that f64 holds exactly."""
    return [number & 0xFFFFFFFF, number >> 32]


def kept(values):
    values = values.flatten()
    return values if len(values) < LONG else values[::STRIDE]


def checksum(values):
    """Sum of the bit patterns, modulo 2^32."""
    return int(values.numpy().flatten().view(np.uint32).sum(dtype=np.uint64)) & 0xFFFFFFFF


# ---- PyTorch's CPU generator


def torch_randn():
    """Rows are draws (seed low, seed high, is first of its generator, n, checksum); values are concatenated."""
    lone = [(seed, [n]) for n in range(1, 41) for seed in (SEEDS[n % len(SEEDS)], SEEDS[(5 * n + 3) % len(SEEDS)])]
    shapes = [3 * 5 * 7, 4 * 8 * 8, 4 * 64 * 64, 4 * 96 * 64]
    lone += [(seed, [n]) for n in shapes for seed in SEEDS]
    lone += [(seed, [4 * 128 * 128, 4 * 128 * 128]) for seed in (0, 2**63 - 1)]
    mixed = [
        [3, 5, 16, 1, 33, 256, 7, 1, 17, 2],
        [1] * 9 + [40] + [1] * 4,
        [15, 16, 15, 17, 31, 32, 15],
        [16384, 3, 16384, 105, 2, 105],
    ]
    mixed = [(seed, ns) for ns in mixed for seed in SEEDS[2:9:3]]
    draws, values = [], []
    for seed, ns in lone + mixed:
        generator = torch.Generator().manual_seed(seed)
        for index, n in enumerate(ns):
            drawn = torch.randn(n, generator=generator)
            draws.append([*halves(seed), index == 0, n, checksum(drawn)])
            values.append(kept(drawn))
        if len(ns) == 1 and n % 16 == 0:
            half = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float16)
            assert torch.equal(half, drawn.half()), "half-precision draws are these, rounded"
    tensors = {"draws": np.array(draws, dtype=np.int64), "values": torch.cat(values)}
    note = "torch.randn on the CPU (AVX2 kernel): sizes 1 to 40, latents, and runs of short and long draws"
    save("noise", "torch_randn", tensors, seed=None, tolerance=1.2e-7, note=note)


# ---- Philox4x32-10, independent of any torch: Salmon et al. 2011


def philox_blocks(seed, offset, n):
    words = [np.full(n, offset, np.uint64), np.zeros(n, np.uint64), np.arange(n, dtype=np.uint64), np.zeros(n, np.uint64)]
    key, low, shift = halves(seed), np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(10):
        first, second = words[0] * np.uint64(0xD2511F53), words[2] * np.uint64(0xCD9E8D57)
        words = [
            (second >> shift) ^ words[1] ^ np.uint64(key[0]),
            second & low,
            (first >> shift) ^ words[3] ^ np.uint64(key[1]),
            first & low,
        ]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return words


def philox_randn(seed, offset, n, dtype):
    """The sine half of Box-Muller; every constant is f32, the arithmetic is of `dtype`."""
    x, y, _, _ = philox_blocks(seed, offset, n)
    inverse = np.float32(2.0**-32)
    angle = np.float32(inverse * np.float32(2 * np.pi))
    u = x.astype(np.float32 if dtype == np.float32 else np.float64).astype(dtype) * dtype(inverse) + dtype(inverse / 2)
    v = y.astype(dtype) * dtype(angle) + dtype(angle / 2)
    return (np.sqrt(dtype(-2) * np.log(u)) * np.sin(v)).astype(np.float32)


def philox():
    published = [-0.92466259, -0.42534415, -2.6438457, 0.14518388]  # torch.randn(4, device="cuda") of seed 0
    assert np.abs(philox_randn(0, 0, 4, np.float32) - published).max() < 1e-6
    # The known answer of the cipher itself: Random123's kat_vectors, all zeros.
    answer = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert [int(word[0]) for word in philox_blocks(0, 0, 1)] == answer
    draws, single, double = [], [], []
    for seed in SEEDS + [2**64 - 1]:
        for offset, n in [(0, 40), (1, 105), (19, 40), (2**32 - 1, 7), (0, 4 * 64 * 64), (3, 4 * 128 * 128)]:
            draws.append([*halves(seed), offset, n])
            single.append(kept(philox_randn(seed, offset, n, np.float32)))
            double.append(kept(philox_randn(seed, offset, n, np.float64)))
    single, double = np.concatenate(single), np.concatenate(double)
    print("philox: f32 and f64 arithmetic differ by", np.abs(single - double).max(), "over", len(single), "numbers")
    n = 1 << 22
    difference = np.abs(philox_randn(7, 0, n, np.float32) - philox_randn(7, 0, n, np.float64))
    print(f"philox: over {n} numbers max {difference.max():.2e}, mean {difference.mean():.2e}")
    tensors = {"draws": np.array(draws, dtype=np.int64), "f32": single, "f64": double}
    note = "Philox4x32-10 normals of (seed, offset, n) by NumPy, in f32 and in f64 arithmetic"
    save("noise", "philox", tensors, seed=None, tolerance=5e-7, note=note)


# ---- Brownian trees


def seed_sequence():
    rows, states = [], []
    for entropy in SEEDS + [2**64 - 1]:
        for key in [None, (0, 0), (0, 1), (1, 1), (5, 3), (2**23 + 12345, 24), (2**33 + 7, 40)]:
            sequence = np.random.SeedSequence(entropy=entropy, spawn_key=key or (), pool_size=24)
            rows.append([*halves(entropy), key is not None, *halves(key[0] if key else 0), key[1] if key else 0])
            states.append(sequence.generate_state(4).astype(np.int64))
    tensors = {"rows": np.array(rows, dtype=np.int64), "states": np.stack(states)}
    note = "numpy.random.SeedSequence(entropy, spawn_key, pool_size=24).generate_state(4)"
    save("noise", "seed_sequence", tensors, seed=None, tolerance=0.0, note=note)


def queries(sigmas):
    """What samplers ask: every step, then half steps, then anything, backwards, twice, and beyond the ends."""
    sigmas = [float(sigma) for sigma in sigmas if sigma > 0]
    steps = list(zip(sigmas, sigmas[1:]))
    halved = []
    for high, low in steps[2:6]:
        middle = (high * low) ** 0.5
        halved += [(high, middle), (middle, low), (high, low)]
    other = [(sigmas[7], sigmas[2]), (sigmas[0], sigmas[-1]), (sigmas[1], sigmas[8]), (1.0, 1.00001), (0.5, 0.0078125)]
    beyond = [(20.0, 1.0), (0.5, 0.0)]
    return steps + halved + other + steps[:2] + beyond


def brownian():
    tensors = {}
    shape = (2, 2, 3, 5)
    schedules = {
        "karras_10": get_sigmas_karras(10, 0.0291675, 14.614642),
        "karras_20": get_sigmas_karras(20, 0.0291675, 14.614642),
        "dyadic": torch.linspace(16, 0, 33)[:-1],
    }
    for schedule, sigmas in schedules.items():
        low, high = sigmas[sigmas > 0].min(), sigmas.max()
        for layout, seeds in {"per_image": [42, 2**63 - 1], "whole_batch": 2483964025}.items():
            asked = queries(sigmas)
            sampler = BrownianTreeNoiseSampler(torch.zeros(shape), low, high, seed=seeds)
            drawn = torch.stack([sampler(torch.tensor(a), torch.tensor(b)) for a, b in asked])
            tensors[f"{schedule}.{layout}"] = drawn
        tensors[f"{schedule}.queries"] = torch.tensor(asked)
        tensors[f"{schedule}.range"] = torch.stack([low, high])
    note = "k-diffusion's BrownianTreeNoiseSampler on the CPU, seeds [42, 2^63 - 1], and 2483964025 for the batch"
    save("noise", "brownian", tensors, seed=None, tolerance=0.0, note=note)


# ---- Variation seed, seed resize, eta noise seed delta


def slerp(strength, low, high):
    """Great circles between the columns (all rows of one channel and column) of two noises."""
    low_unit = low / low.norm(dim=1, keepdim=True)
    high_unit = high / high.norm(dim=1, keepdim=True)
    angle = torch.acos((low_unit * high_unit).sum(dim=1, keepdim=True))
    first, second = torch.sin((1 - strength) * angle), torch.sin(strength * angle)
    return (first * low + second * high) / torch.sin(angle)


def generator(seed):
    return torch.Generator().manual_seed(seed)


def first_noise(own, seed, shape, subseed, strength, resize):
    c, h, w = shape
    if resize is None:
        noise = torch.randn(shape, generator=own)
    else:
        noise = torch.randn((c, *resize), generator=generator(seed))
    if strength != 0:
        noise = slerp(strength, noise, torch.randn(noise.shape, generator=generator(subseed)))
    if resize is None:
        return noise
    canvas = torch.randn(shape, generator=own)
    down, right = (h - resize[0]) // 2, (w - resize[1]) // 2  # floors, also below zero
    rows = resize[0] if down >= 0 else resize[0] + 2 * down
    columns = resize[1] if right >= 0 else resize[1] + 2 * right
    y, x, from_y, from_x = max(down, 0), max(right, 0), max(-down, 0), max(-right, 0)
    canvas[:, y : y + rows, x : x + columns] = noise[:, from_y : from_y + rows, from_x : from_x + columns]
    return canvas


VARIANTS = {  # subseed strength, seed resize, eta noise seed delta
    "plain": (0.0, None, 0),
    "subseed": (0.3, None, 0),
    "subseed_all": (1.0, None, 0),
    "smaller": (0.0, (5, 4), 0),
    "larger": (0.0, (11, 12), 0),
    "wider": (0.6, (6, 13), 0),
    "ensd": (0.0, None, 31337),
    "ensd_negative": (0.25, (8, 7), -1000),
}


def stream():
    shape, seeds, subseeds = (2, 8, 9), [1000, 1001, 5], [7, 8, 2**40]
    tensors = {}
    for name, (strength, resize, delta) in VARIANTS.items():
        own = [generator(seed) for seed in seeds]
        first = [first_noise(g, s, shape, sub, strength, resize) for g, s, sub in zip(own, seeds, subseeds)]
        if delta != 0:
            own = [generator((seed + delta) % 2**64) for seed in seeds]
        following = [torch.stack([torch.randn(shape, generator=g) for g in own]) for _ in range(2)]
        tensors[name] = torch.stack([torch.stack(first), *following])
    whole = generator(1000)
    tensors["whole_batch"] = torch.stack([torch.randn((3, *shape), generator=whole) for _ in range(3)])
    note = "first noise and two following draws, seeds [1000, 1001, 5], subseeds [7, 8, 2^40], latents 2 8 9"
    save("noise", "stream", tensors, seed=1000, tolerance=1e-7, note=note)


if __name__ == "__main__":
    torch_randn()
    philox()
    seed_sequence()
    brownian()
    stream()
