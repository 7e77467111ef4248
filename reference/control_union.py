"""Goldens of ControlNet Union and Control-LoRA: testdata/pipeline/, from diffusers in float32 on the CPU.

The checkpoint, prompt, size and seed are those of pipeline.py, sdxl-shaped. A Control-LoRA is a file of changes: it is made here, in
LDM's names as Stability's files have them, and what diffusers runs is a ControlNet whose weights are the UNet's with the changes
added, by the formula of ComfyUI's `comfy/controlnet.py` (`ControlLora`): weight + up @ down, flattened, and no alpha.

    python reference/control_union.py TOKENIZER_FOLDER
"""

import json

import numpy as np
import torch
from diffusers import (
    ControlNetModel,
    ControlNetUnionModel,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLControlNetUnionPipeline,
)
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from diffusers.models.controlnets.multicontrolnet_union import MultiControlNetUnionModel
from safetensors.numpy import load_file

import control
import golden
import layouts
import pipeline as plain
import unet as unets
from control_pipeline import picture
from golden_weights import fill, weight

torch.set_num_threads(1)

N_TYPES = 8  # as in ProMax
RANK = 3


def union():
    own = {key: unets.SDXL[key] for key in control.TRUNK if key in unets.SDXL}
    width = own["block_out_channels"][0]
    return fill(ControlNetUnionModel(
        **own, **control.HINT, num_control_type=N_TYPES, num_trans_channel=width, num_trans_head=4, num_proj_channel=width,
    ).eval())


def control_lora():
    """Shapes of the file, and the ControlNet that it makes of the UNet."""
    own = {key: unets.SDXL[key] for key in control.TRUNK if key in unets.SDXL}
    network = fill(ControlNetModel(**own, **control.HINT).eval())  # the trunk's weights are the UNet's, which have the same names
    # LDM's names of all tensors, as in control.py
    original = {k: v for k, v in layouts.ldm_unet(16, [1, 2, 2], [0, 2, 3], 24, True, 20 + 6 * 16).items() if not k.startswith("out")}
    widths = [16] * 4 + [32] * 5
    for index, width in enumerate(widths):
        original |= layouts.pair(f"zero_convs.{index}.0", [width, width, 1, 1])
    original |= layouts.pair("middle_block_out.0", [32, 32, 1, 1])
    hint = [3, 4, 4, 8, 8, 8, 8, 16, 16]
    for index, (c_in, c_out) in enumerate(zip(hint, hint[1:])):
        original |= layouts.pair(f"input_hint_block.{2 * index}", [c_out, c_in, 3, 3])
    names = list(original)
    converted = convert_controlnet_checkpoint(layouts.identified({f"control_model.{k}": v for k, v in original.items()}), network.config)
    ldm = {target: names[int(value.flatten()[0])] for target, value in converted.items()}
    for which, theirs in (("linear_1", "label_emb.0.0"), ("linear_2", "label_emb.0.2")):  # the converter leaves SDXL's numbers out
        ldm |= {f"add_embedding.{which}.{end}": f"{theirs}.{end}" for end in ("weight", "bias")}
    file = {"lora_controlnet": []}
    with torch.no_grad():
        for target, parameter in network.named_parameters():
            name, shape = ldm[target], list(parameter.shape)
            is_own = name.startswith(("zero_convs", "middle_block_out", "input_hint_block"))
            if is_own or (len(shape) == 1 and "transformer_blocks" not in name):
                file[name] = shape
                parameter.copy_(weight(name, tuple(shape)))
            elif len(shape) > 1:
                stem = name.removesuffix(".weight")
                up, down = [shape[0], RANK] + [1] * (len(shape) - 2), [RANK, *shape[1:]]
                file |= {f"{stem}.up": up, f"{stem}.down": down}
                change = (0.5 * weight(f"{stem}.up", tuple(up))).flatten(1) @ (0.5 * weight(f"{stem}.down", tuple(down))).flatten(1)
                parameter.add_(change.reshape(parameter.shape))
    return file, network


def make(name, cls, networks, arguments):
    checkpoint = plain.sdxl()
    parts = {key: value for key, value in checkpoint.components.items() if key != "image_encoder"}
    pipe = cls(**parts, add_watermarker=False, **networks)
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        plain.PROMPT, negative_prompt=plain.NEGATIVE, height=plain.SIZE, width=plain.SIZE, num_inference_steps=plain.STEPS,
        guidance_scale=5.0, generator=torch.Generator("cpu").manual_seed(plain.SEED), **arguments,
    ).images[0]
    pixels = np.asarray(made)
    without = load_file(golden.TESTDATA / "pipeline" / "sdxl.safetensors")["pixels"]
    print(name, "differs from the plain picture by", np.abs(pixels.astype(float) - without).mean())
    golden.save("pipeline", name, {"pixels": pixels}, seed=plain.SEED, tolerance=1e-6,
                note=f"64x64 pixels of {cls.__name__} on the sdxl-shaped pipeline; at least 60 dB")


def shapes(name, rows):
    path = golden.TESTDATA / "pipeline" / f"{name}.json"
    path.write_text(json.dumps(rows, separators=(",", ":")))
    golden.record(path, seed=None, tolerance=0.0, note=f"tensor shapes of {name}")


if __name__ == "__main__":
    network = union()
    shapes("union_sdxl", {key: list(value.shape) for key, value in network.named_parameters()})
    one = dict(control_image=[picture(4)], control_mode=[3], controlnet_conditioning_scale=0.75)
    make("sdxl_union", StableDiffusionXLControlNetUnionPipeline, dict(controlnet=network), one)
    two = dict(control_image=[picture(4), picture(7)], control_mode=[0, 7], controlnet_conditioning_scale=[0.75, 0.5])
    both = MultiControlNetUnionModel([network, network])
    make("sdxl_two_unions", StableDiffusionXLControlNetUnionPipeline, dict(controlnet=both), two)
    file, network = control_lora()
    shapes("control_lora_sdxl", file)
    make("sdxl_control_lora", StableDiffusionXLControlNetPipeline, dict(controlnet=network), dict(image=picture(4), controlnet_conditioning_scale=0.75))
