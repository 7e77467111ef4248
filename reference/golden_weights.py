"""Weights and inputs that both sides compute, so that no golden has to store them.

The rule, in exact arithmetic (crates/tronie-testing/src/synthetic.rs is the same in Rust):

    key       = FNV-1a, 64 bit, of the tensor's name in UTF-8
    hash(i)   = SplitMix64's output function of key + (i + 1) * 0x9e3779b97f4a7c15, all modulo 2**64
    unit(i)   = (hash(i) >> 40) / 2**23 - 1                      24 bits, uniform in [-1, 1)

    rank >= 2                  unit * sqrt(3 / fan_in)           variance 1 / fan_in; fan_in = product of shape[1:]
    rank < 2, "*.weight"       1 + 0.25 * unit                   the gains of norms
    rank < 2, any other name   0.25 * unit                       biases
    inputs                     unit * sqrt(3)                    variance 1

i counts the elements in row-major order. Products are taken in float64 and rounded once to float32, and from there
once to the stored dtype where that is narrower.

FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/   SplitMix64: https://prng.di.unimi.it/splitmix64.c
"""

import math

import numpy as np
import torch


def unit(name, count):
    """`count` float64 numbers in [-1, 1), a pure function of the name."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        state = np.uint64(key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return (state >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0


def weight(name, shape):
    """The float32 tensor of a parameter."""
    values = unit(name, math.prod(shape))
    if len(shape) >= 2:
        values = values * math.sqrt(3.0 / math.prod(shape[1:]))
    elif name.endswith(".weight"):
        values = 1.0 + 0.25 * values
    else:
        values = 0.25 * values
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def inputs(name, shape):
    """A float32 input tensor of variance 1."""
    values = unit(name, math.prod(shape)) * math.sqrt(3.0)
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def fill(module, dtype=torch.float32):
    """Overwrites every parameter of a torch module, rounded to `dtype` and kept in float32; returns the module."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(weight(name, tuple(parameter.shape)).to(dtype).to(parameter.dtype))
    return module
