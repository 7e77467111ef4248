"""Goldens of whole pipelines with control networks: testdata/pipeline/, from diffusers' own, in float32 on the CPU.

The checkpoints, prompt, size and seed are those of pipeline.py, the control networks those of control.py. The pictures that steer are
formulas, which both sides compute.

    python reference/control_pipeline.py TOKENIZER_FOLDER
"""

import json

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    MultiControlNetModel,
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
    T2IAdapter,
)
from PIL import Image
from safetensors.numpy import load_file

import control
import golden
import pipeline as plain
import unet as unets
from golden_weights import fill

torch.set_num_threads(1)


def picture(factor):
    """Red and green grow along the sides, blue along both."""
    y, x = np.mgrid[: plain.SIZE, : plain.SIZE]
    rgb = np.stack([factor * x % 256, factor * y % 256, x * y // 16 % 256], axis=-1)
    return Image.fromarray(rgb.astype(np.uint8))


def controlnet(base):
    own = {key: base[key] for key in control.TRUNK if key in base}
    return fill(ControlNetModel(**own, **control.HINT).eval())


def adapter():
    return fill(T2IAdapter(**control.ADAPTERS["full"][1]).eval())


def write(name, cls, base, networks, arguments):
    checkpoint = {"sd15": plain.sd15, "sd21_v": plain.sd21_v, "sdxl": plain.sdxl}[base]()
    parts = {key: value for key, value in checkpoint.components.items() if key != "image_encoder"}
    if cls is StableDiffusionXLControlNetPipeline:
        parts |= dict(add_watermarker=False)
    else:
        parts |= dict(requires_safety_checker=False)
    pipe = cls(**parts, **networks)
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        plain.PROMPT, negative_prompt=plain.NEGATIVE, height=plain.SIZE, width=plain.SIZE, num_inference_steps=plain.STEPS,
        generator=torch.Generator("cpu").manual_seed(plain.SEED), **arguments,
    ).images[0]
    pixels = np.asarray(made)
    without = golden.TESTDATA / "pipeline" / f"{base}.safetensors"
    difference = np.abs(pixels.astype(float) - load_file(without)["pixels"]).mean()
    print(name, "differs from the plain picture by", difference)
    golden.save("pipeline", name, {"pixels": pixels}, seed=plain.SEED, tolerance=1e-6,
                note=f"64x64 pixels of {cls.__name__} on the {base}-shaped pipeline; at least 60 dB")


def write_shapes(name, network):
    path = golden.TESTDATA / "pipeline" / f"{name}.json"
    path.write_text(json.dumps({key: list(value.shape) for key, value in network.named_parameters()}, separators=(",", ":")))
    golden.record(path, seed=None, tolerance=0.0, note=f"tensor shapes of {name}")


if __name__ == "__main__":
    bases = {"sd15": unets.BASE, "sd21_v": unets.SD2, "sdxl": unets.SDXL}
    for name, base in bases.items():
        write_shapes(f"controlnet_{name}", controlnet(base))
    write_shapes("adapter_sd15", adapter())
    net = controlnet(bases["sd15"])
    one = dict(image=picture(4), controlnet_conditioning_scale=0.75, guidance_scale=7.5)
    write("sd15_control", StableDiffusionControlNetPipeline, "sd15", dict(controlnet=net), one)
    net = controlnet(bases["sd21_v"])
    two = dict(
        image=[picture(4), picture(7)], controlnet_conditioning_scale=[0.75, 0.5], guidance_scale=7.5,
        control_guidance_start=[0.0, 0.2], control_guidance_end=[0.7, 1.0],
    )
    both = MultiControlNetModel([net, net])
    write("sd21_v_two_controls", StableDiffusionControlNetPipeline, "sd21_v", dict(controlnet=both), two)
    net = controlnet(bases["sdxl"])
    one = dict(image=picture(4), controlnet_conditioning_scale=0.75, guidance_scale=5.0)
    write("sdxl_control", StableDiffusionXLControlNetPipeline, "sdxl", dict(controlnet=net), one)
    one = dict(image=picture(4), adapter_conditioning_scale=0.75, guidance_scale=7.5)
    write("sd15_adapter", StableDiffusionAdapterPipeline, "sd15", dict(adapter=adapter()), one)
