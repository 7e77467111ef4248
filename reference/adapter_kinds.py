"""Goldens of the kinds of adapters beside LoRA: testdata/adapters/lycoris*, testdata/pipeline/kinds.json and sd15_<kind>.

For single layers LyCORIS' own modules say what file they write and what weight they make; strength is 1. For whole pipelines PEFT's
LoHa, LoKr, (IA)3 and DoRA are put on the UNet of pipeline.py's sd15-shaped pipeline; their values are those of golden_weights.py by
the names of PEFT's file, times a factor, or, for numbers that multiply a weight, those of the gain of a norm.

    python reference/adapter_kinds.py TOKENIZER_FOLDER
"""

import json

import numpy as np
import torch
from lycoris.modules.full import FullModule
from lycoris.modules.ia3 import IA3Module
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule
from lycoris.modules.norms import NormModule
from peft import IA3Config, LoHaConfig, LoKrConfig, LoraConfig, inject_adapter_in_model
from peft.utils import get_peft_model_state_dict
from safetensors.numpy import load_file, save_file

import golden
import pipeline
from golden_weights import fill, weight

torch.set_num_threads(1)

C_IN, C_OUT, RANK = 12, 16, 2
ALPHA = dict(lora_dim=RANK, alpha=RANK)


def linear():
    return torch.nn.Linear(C_IN, C_OUT)


def conv():
    return torch.nn.Conv2d(C_IN, C_OUT, 3, padding=1)


# path: layer, LyCORIS' module and its options
LAYERS = {
    "locon_tucker": (conv, LoConModule, ALPHA | dict(use_tucker=True)),
    "loha_linear": (linear, LohaModule, dict(lora_dim=RANK, alpha=3)),
    "loha_conv": (conv, LohaModule, ALPHA),
    "loha_tucker": (conv, LohaModule, ALPHA | dict(use_tucker=True)),
    "loha_dora": (conv, LohaModule, ALPHA | dict(weight_decompose=True)),
    "lokr_linear": (linear, LokrModule, dict(lora_dim=1, alpha=0.5)),
    "lokr_both": (linear, LokrModule, dict(lora_dim=1, alpha=1, decompose_both=True, factor=4)),
    "lokr_whole": (linear, LokrModule, dict(lora_dim=8, alpha=3)),
    "lokr_conv": (conv, LokrModule, dict(lora_dim=1, alpha=1)),
    "lokr_conv_whole": (conv, LokrModule, dict(lora_dim=8, alpha=8)),
    "lokr_tucker": (conv, LokrModule, dict(lora_dim=1, alpha=1, use_tucker=True)),
    "dora_out": (linear, LoConModule, ALPHA | dict(weight_decompose=True, wd_on_out=True)),
    "dora_in": (conv, LoConModule, ALPHA | dict(weight_decompose=True, wd_on_out=False)),
    "ia3_in": (linear, IA3Module, dict(train_on_input=True)),
    "ia3_out": (linear, IA3Module, {}),
    "ia3_conv_in": (conv, IA3Module, dict(train_on_input=True)),
    "ia3_conv_out": (conv, IA3Module, {}),
    "full": (conv, FullModule, {}),
    "norm": (lambda: torch.nn.GroupNorm(2, C_IN), NormModule, {}),
}


def drawn(path, layer, kind, options):
    """A module with values of its own over a layer with the weights both sides compute."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(weight(f"{path}.{name}", tuple(parameter.shape)))
    module = kind(path, layer, 1.0, **options)
    generator = torch.Generator().manual_seed(pipeline.SEED)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            noise = 0.4 * torch.randn(parameter.shape, generator=generator)
            parameter.copy_(parameter * (1 + noise) if name == "dora_scale" else noise)
    return module


def merged(module, layer):
    """The weight that LyCORIS runs, and the bias."""
    bias = layer.bias
    if isinstance(module, FullModule):
        return layer.weight + module.weight, bias + module.bias
    if isinstance(module, NormModule):
        return layer.weight + module.w_norm, bias + module.b_norm
    if isinstance(module, IA3Module):
        return module.get_merged_weight()[0], bias
    # get_diff_weight scales twice in LyCORIS 4.1.3; forward takes get_weight, which scales once
    if isinstance(module, LoConModule):
        changed = layer.weight + module.make_weight(layer.weight.device) * module.scale
    else:
        changed = layer.weight + module.get_weight(layer.weight.shape)
    return (module.apply_weight_decompose(changed) if getattr(module, "wd", False) else changed), bias


def stored(module):
    if isinstance(module, FullModule):
        return {"diff": module.weight, "diff_b": module.bias}
    own = module.custom_state_dict() if hasattr(module, "custom_state_dict") else None
    return own or module.state_dict()


def layers():
    file, expected = {}, {}
    for path, (make, kind, options) in LAYERS.items():
        layer = make()
        module = drawn(path, layer, kind, options)
        with torch.no_grad():
            weight_, bias = merged(module, layer)
            file |= {f"lora_unet_{path}.{name}": value.detach().clone().numpy() for name, value in stored(module).items()}
        expected |= {f"{path}.weight": weight_, f"{path}.bias": bias}
        print(path, sorted(name for name in stored(module)))
    path = golden.TESTDATA / "adapters" / "lycoris_weights.safetensors"
    save_file({name: np.ascontiguousarray(value) for name, value in file.items()}, path)
    golden.record(path, seed=pipeline.SEED, tolerance=0.0, note="a file of LyCORIS' modules of every kind, one layer each")
    golden.save("adapters", "lycoris", expected, seed=pipeline.SEED, tolerance=1e-5, note="weights and biases of these layers with it")


ATTENTION = ["attn1.to_q", "attn2.to_k", "to_out.0", "ff.net.2"]
WRAPPED = "base_model.model."  # what PEFT's files put before every name
SETTINGS = ["peft_type", "r", "alpha", "lora_alpha", "alpha_pattern", "rank_pattern", "feedforward_modules", "use_dora", "use_rslora"]
# kind: PEFT's configuration, and the factor on what is added to weights
KINDS = {
    "loha": (LoHaConfig(r=2, alpha=3, target_modules=[*ATTENTION, "conv1", "conv2"], use_effective_conv2d=True, alpha_pattern={"to_k": 5}), 1.5),
    "lokr": (LoKrConfig(r=2, alpha=3, target_modules=[*ATTENTION, "conv1", "proj_in"], decompose_both=True), 0.6),
    "ia3": (IA3Config(target_modules=[*ATTENTION, "conv1", "conv2"], feedforward_modules=["ff.net.2", "conv2"]), 1.0),
    "dora": (LoraConfig(r=2, lora_alpha=3, target_modules=[*ATTENTION, "conv1", "conv_shortcut"], use_dora=True), 0.15),
}


def value(name, shape, factor):
    if name.endswith(("ia3_l", "lora_magnitude_vector")):
        return weight(f"{name}.weight", (int(np.prod(shape)),)).reshape(shape)
    return factor * weight(name, shape)


def whole(kind, config, factor):
    """The pipeline's picture with an adapter, and the shapes of the adapter's file."""
    pipe = pipeline.sd15()
    pipe.set_progress_bar_config(disable=True)
    inject_adapter_in_model(config, pipe.unet)
    shapes = {name: tuple(tensor.shape) for name, tensor in get_peft_model_state_dict(pipe.unet).items()}
    left = dict(shapes)
    with torch.no_grad():
        for name, parameter in pipe.unet.named_parameters():
            key = name.replace(".default", "")
            key = key.removesuffix(".weight") if "lora_magnitude_vector" in key else key
            if key in left:
                parameter.copy_(value(WRAPPED + key, left.pop(key), factor))
    assert not left, left
    pixels = np.asarray(pipe(
        pipeline.PROMPT, negative_prompt=pipeline.NEGATIVE, height=pipeline.SIZE, width=pipeline.SIZE,
        num_inference_steps=pipeline.STEPS, guidance_scale=7.5, generator=torch.Generator("cpu").manual_seed(pipeline.SEED),
    ).images[0])
    plain = load_file(golden.TESTDATA / "pipeline" / "sd15.safetensors")["pixels"]
    difference = np.abs(pixels.astype(float) - plain).mean()
    print(kind, len(shapes), "tensors; differs from the plain picture by", difference, "saturated", ((pixels == 0) | (pixels == 255)).mean())
    golden.save("pipeline", f"sd15_{kind}", {"pixels": pixels}, seed=pipeline.SEED, tolerance=1e-6,
                note=f"64x64 pixels of the sd15-shaped pipeline with PEFT's {kind}; at least 60 dB")
    settings = {key: sorted(entry) if isinstance(entry, set) else entry for key, entry in config.to_dict().items() if key in SETTINGS}
    return {"config": settings, "factor": factor, "shapes": shapes}


if __name__ == "__main__":
    layers()
    path = golden.TESTDATA / "pipeline" / "kinds.json"
    path.write_text(json.dumps({kind: whole(kind, *row) for kind, row in KINDS.items()}, separators=(",", ":"), default=str))
    golden.record(path, seed=None, tolerance=0.0, note="PEFT's configuration and tensor shapes of an adapter of each kind")
