"""Goldens of tronie-models' ControlNet and T2I-Adapter, from diffusers in float32: testdata/control/.

Weights and inputs follow golden_weights.py. A ControlNet's golden holds the maps it adds, an adapter's what the UNet answers with
them, so that the places where they are added are in it too. The UNets are those of unet.py.

    python reference/control.py
"""

import torch
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint

import golden
import layouts
import unet as unets
from golden_weights import fill, inputs

torch.set_num_threads(1)

TRUNK = (
    "block_out_channels down_block_types layers_per_block norm_num_groups cross_attention_dim attention_head_dim "
    "transformer_layers_per_block use_linear_projection upcast_attention addition_embed_type addition_time_embed_dim "
    "projection_class_embeddings_input_dim"
).split()
HINT = dict(conditioning_embedding_out_channels=(4, 8, 8, 16))
SIDE = 64

# name: the UNet's configuration, what the ControlNet has of its own, and what is special
CONTROLNETS = {
    "sd15": (unets.BASE, {}, {}),
    "sd2": (unets.SD2, {}, {}),
    "sdxl": (unets.SDXL, {}, dict(sizes=[64, 48, 0, 8, 64, 64])),
    "pooled": (unets.SMALL, dict(global_pool_conditions=True), {}),
    "bgr": (unets.SMALL, dict(controlnet_conditioning_channel_order="bgr"), {}),
}
ADAPTERS = {
    "full": (unets.BASE, dict(channels=[16, 32, 32], num_res_blocks=2, downscale_factor=8), {}),
    "gray": (unets.BASE, dict(in_channels=1, channels=[16, 32, 32], num_res_blocks=1, downscale_factor=8), {}),
    "light": (unets.BASE, dict(channels=[16, 32], num_res_blocks=3, downscale_factor=8, adapter_type="light_adapter"), {}),
    "xl": (
        unets.SDXL,
        dict(channels=[16, 32, 32, 32], num_res_blocks=2, downscale_factor=16, adapter_type="full_adapter_xl"),
        dict(sizes=[64, 48, 0, 8, 64, 64]),
    ),
    "odd_size": (unets.BASE, dict(channels=[16, 32, 32], num_res_blocks=1, downscale_factor=8), dict(height=72, width=56)),
}


def picture(channels, height, width):
    return 0.5 + 0.25 * inputs("picture", (1, channels, height, width))


def asked(network, special):
    """Latents, timestep and the rest of what UNet and ControlNet are given; and what a golden must hold of it."""
    height, width = special.get("height", SIDE), special.get("width", SIDE)
    arguments, stored = unets.conditioning(network, 1, special)
    timestep = torch.tensor([601.0])
    return inputs("latents", (1, 4, height // 8, width // 8)), timestep, arguments, stored | {"timestep": timestep}


def write_controlnet(name, base, own, special):
    network = fill(ControlNetModel(**{key: base[key] for key in TRUNK if key in base}, **HINT, **own)).eval()
    latents, timestep, arguments, stored = asked(network, special)
    with torch.no_grad():
        down, mid = network(
            latents, timestep, controlnet_cond=picture(3, SIDE, SIDE), conditioning_scale=1.0, return_dict=False, **arguments
        )
    stored |= {f"down.{index}": map.permute(0, 2, 3, 1) for index, map in enumerate(down)}
    stored |= {"mid": mid.permute(0, 2, 3, 1)}
    golden.save("control", name, stored, seed=None, tolerance=1e-5, note=f"maps (b h w c) of a tiny ControlNet: {name}")


def write_adapter(name, base, own, special):
    adapter = fill(T2IAdapter(**own)).eval()
    network = fill(UNet2DConditionModel(**base)).eval()
    latents, timestep, arguments, stored = asked(network, special)
    height, width = special.get("height", SIDE), special.get("width", SIDE)
    with torch.no_grad():
        maps = adapter(picture(own.get("in_channels", 3), height, width))
        stored["output"] = network(latents, timestep, down_intrablock_additional_residuals=maps, **arguments).sample
    note = f"forward of a tiny UNet with a T2I-Adapter: {name}"
    golden.save("control", f"adapter_{name}", stored, seed=None, tolerance=1e-5, note=note)


def write_names():
    """cldm.py: the UNet's way down and middle, a 1x1 convolution behind every map, and eight convolutions for the picture."""
    original = {k: v for k, v in layouts.ldm_unet(320, [1, 2, 4, 4], [1, 1, 1, 0], 768, False).items() if not k.startswith("out")}
    widths = [320] * 4 + [640] * 3 + [1280] * 5
    for index, width in enumerate(widths):
        original |= layouts.pair(f"zero_convs.{index}.0", [width, width, 1, 1])
    original |= layouts.pair("middle_block_out.0", [1280, 1280, 1, 1])
    hint = [3, 16, 16, 32, 32, 96, 96, 256, 320]
    for index, (c_in, c_out) in enumerate(zip(hint, hint[1:])):
        original |= layouts.pair(f"input_hint_block.{2 * index}", [c_out, c_in, 3, 3])
    original = {f"control_model.{name}": shape for name, shape in original.items()}
    with torch.device("meta"):
        network = ControlNetModel(cross_attention_dim=768)
    converted = convert_controlnet_checkpoint(layouts.identified(original), network.config)
    assert {k: list(v.shape) for k, v in converted.items()} == {k: list(v.shape) for k, v in network.state_dict().items()}
    names = list(original)
    rows = (
        "\t".join([names[int(target.flatten()[0])], "", name, layouts.shape(target.shape), "rename"])
        for name, target in converted.items()
    )
    path = golden.TESTDATA / "control" / "names.tsv"
    path.write_text("".join(layouts.front_coded(sorted(rows))))
    note = "single-file name, nothing, diffusers name, shape, operation of a ControlNet; front-coded lines"
    golden.record(path, seed=None, tolerance=0, note=note)


if __name__ == "__main__":
    write_names()
    for name, case in CONTROLNETS.items():
        write_controlnet(name, *case)
    for name, case in ADAPTERS.items():
        write_adapter(name, *case)
