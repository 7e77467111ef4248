"""Real PyTorch checkpoints of every shape the reader must know, each with what PyTorch reads from it.

testdata/weights/<name>.pt is the checkpoint; testdata/weights/<name>.safetensors has the tensors as torch.load gives
them, under the names that tronie uses. Where a checkpoint holds more than tensors, tests state it themselves.
"""

import sys
from collections import OrderedDict

import numpy as np
import torch
from golden import TESTDATA, record
from safetensors.torch import save_file

SEED = 7
FOLDER = TESTDATA / "weights"
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(SEED)


def numbers(*shape):
    return torch.randn(*shape, generator=generator)


def flatten(value, path=""):
    """Every tensor with its names joined by dots, members of lists by index."""
    if isinstance(value, torch.Tensor):
        return {path or "tensor": value.detach()}
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, (list, tuple)):
        pairs = enumerate(value)
    else:
        return {}
    found = {}
    for key, child in pairs:
        found |= flatten(child, f"{path}.{key}" if path else str(key))
    return found


def save(name, checkpoint, weights, note, **options):
    """weights: the part of the checkpoint that is the state dictionary."""
    path = FOLDER / f"{name}.pt"
    torch.save(checkpoint, path, **options)
    record(path, seed=SEED, tolerance=0.0, note=note)
    expected = FOLDER / f"{name}.safetensors"
    # clone() gives every tensor a row-major storage of its own, which is what the format can hold.
    tensors = {key: value.clone(memory_format=torch.contiguous_format) for key, value in flatten(weights).items()}
    save_file(tensors, expected)
    record(expected, seed=SEED, tolerance=0.0, note=f"what torch.load reads from {name}.pt")


def dtypes():
    return OrderedDict(
        f64=numbers(3, 2).double(),
        f32=numbers(2, 3),
        f16=numbers(5).half(),
        bf16=numbers(2, 2).bfloat16(),
        i64=torch.tensor([-(2**63), -1, 2**63 - 1]),
        i32=torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32),
        i16=torch.tensor([-(2**15), 2**15 - 1], dtype=torch.int16),
        i8=torch.tensor([-128, 127], dtype=torch.int8),
        u8=torch.tensor([0, 255], dtype=torch.uint8),
        bool=torch.tensor([True, False, True]),
        empty=torch.zeros(0, 4),
        scalar=torch.tensor(1.5),
        special=torch.tensor([float("nan"), float("inf"), float("-inf"), -0.0, 1e-45]),
    )


def views():
    base = numbers(6, 4)
    cube = numbers(2, 3, 4)
    tied = numbers(3, 2)
    return OrderedDict(
        base=base,
        row=base[2],
        column=base[:, 1],
        block=base[1:5:2, 1:3],
        transposed=base.t(),
        permuted=cube.permute(2, 0, 1),
        sliced=cube[:, ::2, 1:],
        channels_last=numbers(2, 3, 2, 2).to(memory_format=torch.channels_last),
        expanded=numbers(1, 3).expand(4, 3),
        empty_view=base[6:],
        tied_in=tied,
        tied_out=tied,
    )


def model():
    torch.manual_seed(SEED)
    return torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(3, 2))


def lightning():
    """The form of the original Stable Diffusion checkpoints: weights, and what training left behind."""
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)
    net(numbers(1, 2, 5, 5)).sum().backward()
    optimizer.step()
    return {
        "epoch": 4,
        "global_step": 470000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": net.state_dict(),
        "callbacks": {
            "checkpoint": {"monitor": "val/loss", "best_model_score": torch.tensor(0.25), "current": None},
        },
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [{"base_lrs": [1e-4], "last_epoch": 4, "verbose": False}],
        "numpy_scalar": np.float64(0.125),
        "numpy_half": np.float16(-2.5),
        "numpy_int": np.int32(-7),
        "numpy_unsigned": np.uint64(2**64 - 1),
        "numpy_bool": np.bool_(True),
        "numpy_big_endian": np.array([1, 2, 3], dtype=">i2"),
        "numpy_array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "numpy_columns": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        "random_state": np.random.RandomState(SEED).get_state(),
        "seed": 2**64 - 1,
        "shift": -(2**70),
        "tags": {"a"},
        "raw": b"\x00\xff",
    }


def embedding():
    """A textual inversion file as the A1111 web UI writes it."""
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": numbers(2, 8)},
        "name": "face",
        "step": 1500,
        "sd_checkpoint": "0123abcd",
        "sd_checkpoint_name": None,
    }


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    old = {"_use_new_zipfile_serialization": False}
    checkpoint = dtypes()
    save("dtypes_zip", checkpoint, checkpoint, "one tensor of each type, zip format")
    save("dtypes_legacy", checkpoint, checkpoint, "one tensor of each type, format before 1.6", **old)
    checkpoint = views()
    save("views_zip", checkpoint, checkpoint, "strided, shared and empty views, zip format")
    save("views_legacy", checkpoint, checkpoint, "strided, shared and empty views, format before 1.6", **old)
    checkpoint = lightning()
    save("lightning_zip", checkpoint, checkpoint["state_dict"], "PyTorch Lightning checkpoint, zip format")
    save("lightning_legacy", checkpoint, checkpoint["state_dict"], "the same, format before 1.6", **old)
    checkpoint = {"params": dict(model().named_parameters()), "params_ema": dict(model().named_parameters())}
    save("ema_parameters", checkpoint, checkpoint["params_ema"], "parameters, raw and averaged, as BasicSR saves them")
    checkpoint = {"unet": model().state_dict(), "lists": [numbers(2), (numbers(1), {"deep": numbers(3)})]}
    save("nested", checkpoint, checkpoint, "dictionaries in dictionaries and lists")
    for protocol in (3, 4):
        checkpoint = OrderedDict(weights=numbers(3), raw=b"\x00\xff", tags={"a"}, long=2**40)
        note = f"pickle protocol {protocol}"
        save(f"protocol{protocol}_zip", checkpoint, checkpoint, f"{note}, zip format", pickle_protocol=protocol)
        save(f"protocol{protocol}_legacy", checkpoint, checkpoint, f"{note}, format before 1.6", pickle_protocol=protocol, **old)
    checkpoint = embedding()
    save("textual_inversion", checkpoint, checkpoint, "textual inversion as the A1111 web UI writes it")
    checkpoint = numbers(2, 2)
    save("bare_tensor", checkpoint, checkpoint, "a tensor and nothing else")


if __name__ == "__main__":
    sys.exit(main())
