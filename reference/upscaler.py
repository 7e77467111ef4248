"""Goldens of tronie-models' upscalers, from spandrel's networks in float32: testdata/upscaler/.

Weights follow golden_weights.py under tronie's names of the tensors, which this script turns into the names that spandrel loads.

    python reference/upscaler.py
"""

import re

import torch
from spandrel import ModelLoader

import golden
from golden_weights import inputs, weight

torch.set_num_threads(1)

C, GROWTH, N_BLOCKS = 8, 32, 2


def dense(n_doublings, fold):
    shapes = {"conv_first": (C, 3 * fold * fold)}
    for block in range(N_BLOCKS):
        for rdb in range(3):
            for conv in range(5):
                shapes[f"body.{block}.rdb.{rdb}.conv.{conv}"] = (C if conv == 4 else GROWTH, C + conv * GROWTH)
    shapes |= {"conv_body": (C, C)} | {f"conv_up.{n}": (C, C) for n in range(n_doublings)}
    shapes |= {"conv_hr": (C, C), "conv_last": (3, C)}
    return {name: (*shape, 3, 3) for name, shape in shapes.items()}


def compact(n_convs, scale):
    shapes = {"body.0": (C, 3, 3, 3), "body.1": (C,)}
    for index in range(n_convs):
        shapes |= {f"body.{2 * index + 2}": (C, C, 3, 3), f"body.{2 * index + 3}": (C,)}
    return shapes | {f"body.{2 * n_convs + 2}": (3 * scale * scale, C, 3, 3)}


def theirs(name, shapes):
    """The oldest spelling, which has every factor."""
    n_doublings = sum(layer.startswith("conv_up") for layer in shapes)
    tail = {f"conv_up.{n}": 3 * n + 3 for n in range(n_doublings)}
    tail |= {"conv_hr": 3 * n_doublings + 2, "conv_last": 3 * n_doublings + 4}
    if name == "conv_first":
        return "model.0"
    if name == "conv_body":
        return f"model.1.sub.{N_BLOCKS}"
    if name in tail:
        return f"model.{tail[name]}"
    block, rdb, conv = map(int, re.findall(r"\d+", name))
    return f"model.1.sub.{block}.RDB{rdb + 1}.conv{conv + 1}.0"


def write(case, shapes, rename):
    state = {}
    for name, shape in shapes.items():
        state[f"{rename(name, shapes)}.weight"] = weight(f"{name}.weight", shape)
        if len(shape) > 1:
            state[f"{rename(name, shapes)}.bias"] = weight(f"{name}.bias", shape[:1])
    network = ModelLoader().load_from_state_dict(state).model.eval()
    with torch.no_grad():
        output = network(0.5 + 0.25 * inputs("image", (1, 3, 12, 8)))
    golden.save("upscaler", case, {"output": output}, seed=None, tolerance=1e-5, note=f"forward of a tiny upscaler: {case}")


def main():
    for scale, n_doublings in [(4, 2), (2, 1), (1, 0)]:
        write(f"esrgan_x{scale}", dense(n_doublings, 1), theirs)
    new = {"conv_up.0": "conv_up1", "conv_up.1": "conv_up2"}

    def real(name, _):
        return new.get(name) or re.sub(r"rdb\.(\d)\.conv\.(\d)", lambda m: f"rdb{int(m[1]) + 1}.conv{int(m[2]) + 1}", name)

    write("real_esrgan_x2", dense(2, 2), real)
    write("compact_x4", compact(3, 4), lambda name, _: name)
    write("compact_x2", compact(1, 2), lambda name, _: name)


if __name__ == "__main__":
    main()
