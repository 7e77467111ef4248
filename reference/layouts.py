"""Which tensor of an original (LDM) checkpoint becomes which tensor of a diffusers folder, by diffusers itself.

For each family the names and shapes of the single file are built here from the block structure of the original code
(CompVis/latent-diffusion openaimodel.py and model.py, open_clip transformer.py), at full size but without memory: a
tensor is one number expanded to its shape, and that number is its identity. diffusers' own converters then rename them,
the result must be exactly the state dict of the diffusers and transformers models (meta device), and where each number
ended up is the map. Written as text: every line is front-coded (length of the prefix shared with the line before, tab, rest).
"""

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

sys.path.insert(0, str(Path(__file__).resolve().parent))
import golden

torch.set_num_threads(1)


# --- original names -----------------------------------------------------------------------------------------------


def pair(name, shape, bias=True):
    """Weight and bias of one layer."""
    return {f"{name}.weight": shape} | ({f"{name}.bias": shape[:1]} if bias else {})


def ldm_res(name, c_in, c_out, d):
    out = pair(f"{name}.in_layers.0", [c_in]) | pair(f"{name}.in_layers.2", [c_out, c_in, 3, 3])
    out |= pair(f"{name}.emb_layers.1", [c_out, d])
    out |= pair(f"{name}.out_layers.0", [c_out]) | pair(f"{name}.out_layers.3", [c_out, c_out, 3, 3])
    return out | (pair(f"{name}.skip_connection", [c_out, c_in, 1, 1]) if c_in != c_out else {})


def ldm_attention(name, c, context, depth, linear):
    project = [c, c] if linear else [c, c, 1, 1]
    out = pair(f"{name}.norm", [c]) | pair(f"{name}.proj_in", project) | pair(f"{name}.proj_out", project)
    for i in range(depth):
        block = f"{name}.transformer_blocks.{i}"
        for attention, width in (("attn1", c), ("attn2", context)):
            out |= pair(f"{block}.{attention}.to_q", [c, c], bias=False)
            out |= pair(f"{block}.{attention}.to_k", [c, width], bias=False)
            out |= pair(f"{block}.{attention}.to_v", [c, width], bias=False)
            out |= pair(f"{block}.{attention}.to_out.0", [c, c])
        out |= pair(f"{block}.ff.net.0.proj", [8 * c, c]) | pair(f"{block}.ff.net.2", [c, 4 * c])
        for norm in ("norm1", "norm2", "norm3"):
            out |= pair(f"{block}.{norm}", [c])
    return out


def ldm_unet(channels, mult, depths, context, linear, adm=None, in_channels=4):
    """depths: transformer blocks per level, 0 where a level does not attend."""
    d = 4 * channels
    out = pair("time_embed.0", [d, channels]) | pair("time_embed.2", [d, d])
    if adm:
        out |= pair("label_emb.0.0", [d, adm]) | pair("label_emb.0.2", [d, d])
    out |= pair("input_blocks.0.0", [channels, in_channels, 3, 3])
    c, skips, i = channels, [channels], 1
    for level, m in enumerate(mult):
        for _ in range(2):
            out |= ldm_res(f"input_blocks.{i}.0", c, m * channels, d)
            c = m * channels
            if depths[level]:
                out |= ldm_attention(f"input_blocks.{i}.1", c, context, depths[level], linear)
            skips.append(c)
            i += 1
        if level < len(mult) - 1:
            out |= pair(f"input_blocks.{i}.0.op", [c, c, 3, 3])
            skips.append(c)
            i += 1
    depth = depths[-1] or max(depths)
    out |= ldm_res("middle_block.0", c, c, d) | ldm_res("middle_block.2", c, c, d)
    out |= ldm_attention("middle_block.1", c, context, depth, linear)
    i = 0
    for level, m in reversed(list(enumerate(mult))):
        for layer in range(3):
            out |= ldm_res(f"output_blocks.{i}.0", c + skips.pop(), m * channels, d)
            c = m * channels
            if depths[level]:
                out |= ldm_attention(f"output_blocks.{i}.1", c, context, depths[level], linear)
            if level and layer == 2:
                out |= pair(f"output_blocks.{i}.{2 if depths[level] else 1}.conv", [c, c, 3, 3])
            i += 1
    return out | pair("out.0", [c]) | pair("out.2", [4, c, 3, 3])


def vae_res(name, c_in, c_out):
    out = pair(f"{name}.norm1", [c_in]) | pair(f"{name}.conv1", [c_out, c_in, 3, 3])
    out |= pair(f"{name}.norm2", [c_out]) | pair(f"{name}.conv2", [c_out, c_out, 3, 3])
    return out | (pair(f"{name}.nin_shortcut", [c_out, c_in, 1, 1]) if c_in != c_out else {})


def vae_mid(name, c):
    out = vae_res(f"{name}.mid.block_1", c, c) | vae_res(f"{name}.mid.block_2", c, c)
    out |= pair(f"{name}.mid.attn_1.norm", [c])
    for part in ("q", "k", "v", "proj_out"):
        out |= pair(f"{name}.mid.attn_1.{part}", [c, c, 1, 1])
    return out


def ldm_vae(widths=(128, 256, 512, 512)):
    out, c = pair("encoder.conv_in", [widths[0], 3, 3, 3]), widths[0]
    for level, width in enumerate(widths):
        for j in range(2):
            out |= vae_res(f"encoder.down.{level}.block.{j}", c, width)
            c = width
        if level < len(widths) - 1:
            out |= pair(f"encoder.down.{level}.downsample.conv", [c, c, 3, 3])
    out |= vae_mid("encoder", c) | pair("encoder.norm_out", [c]) | pair("encoder.conv_out", [8, c, 3, 3])
    out |= pair("quant_conv", [8, 8, 1, 1]) | pair("post_quant_conv", [4, 4, 1, 1])
    out |= pair("decoder.conv_in", [c, 4, 3, 3]) | vae_mid("decoder", c)
    for level, width in reversed(list(enumerate(widths))):
        for j in range(3):
            out |= vae_res(f"decoder.up.{level}.block.{j}", c, width)
            c = width
        if level:
            out |= pair(f"decoder.up.{level}.upsample.conv", [c, c, 3, 3])
    return out | pair("decoder.norm_out", [c]) | pair("decoder.conv_out", [3, c, 3, 3])


def openai_clip(width, layers):
    out = {"embeddings.position_ids": [1, 77], "embeddings.token_embedding.weight": [49408, width]}
    out |= {"embeddings.position_embedding.weight": [77, width]}
    for i in range(layers):
        layer = f"encoder.layers.{i}"
        out |= pair(f"{layer}.layer_norm1", [width]) | pair(f"{layer}.layer_norm2", [width])
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            out |= pair(f"{layer}.self_attn.{part}", [width, width])
        out |= pair(f"{layer}.mlp.fc1", [4 * width, width]) | pair(f"{layer}.mlp.fc2", [width, 4 * width])
    out |= pair("final_layer_norm", [width])
    return {f"text_model.{name}": shape for name, shape in out.items()}


def open_clip(width, layers):
    out = {"positional_embedding": [77, width], "token_embedding.weight": [49408, width], "logit_scale": []}
    out |= {"text_projection": [width, width]} | pair("ln_final", [width])
    for i in range(layers):
        layer = f"transformer.resblocks.{i}"
        out |= pair(f"{layer}.ln_1", [width]) | pair(f"{layer}.ln_2", [width])
        out |= {f"{layer}.attn.in_proj_weight": [3 * width, width], f"{layer}.attn.in_proj_bias": [3 * width]}
        out |= pair(f"{layer}.attn.out_proj", [width, width])
        out |= pair(f"{layer}.mlp.c_fc", [4 * width, width]) | pair(f"{layer}.mlp.c_proj", [width, 4 * width])
    return out


# --- families -----------------------------------------------------------------------------------------------------

CROSS, PLAIN = "CrossAttn", ""


def unet_config(channels, mult, depths, context, linear, adm=None):
    kinds = [CROSS if depth else PLAIN for depth in depths]
    config = {
        "block_out_channels": [channels * m for m in mult],
        "down_block_types": [f"{kind}DownBlock2D" for kind in kinds],
        "up_block_types": [f"{kind}UpBlock2D" for kind in reversed(kinds)],
        "transformer_layers_per_block": [depth or max(depths) for depth in depths],
        "cross_attention_dim": context,
        "use_linear_projection": linear,
        "layers_per_block": 2,
    }
    if adm:
        config |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256}
        config |= {"projection_class_embeddings_input_dim": adm}
    return config


# family -> (UNet, [(folder, prefix in the single file, kind, width, layers in the single file, layers in diffusers)])
FAMILIES = {
    "sd15": (
        (320, [1, 2, 4, 4], [1, 1, 1, 0], 768, False),
        [("text_encoder", "cond_stage_model.transformer.", openai_clip, 768, 12, 12)],
    ),
    "sd21": (
        (320, [1, 2, 4, 4], [1, 1, 1, 0], 1024, True),
        [("text_encoder", "cond_stage_model.model.", open_clip, 1024, 24, 23)],
    ),
    "sdxl_base": (
        (320, [1, 2, 4], [0, 2, 10], 2048, True, 2816),
        [
            ("text_encoder", "conditioner.embedders.0.transformer.", openai_clip, 768, 12, 12),
            ("text_encoder_2", "conditioner.embedders.1.model.", open_clip, 1280, 32, 32),
        ],
    ),
    "sdxl_refiner": (
        (384, [1, 2, 4, 4], [0, 4, 4, 0], 1280, True, 2560),
        [("text_encoder_2", "conditioner.embedders.0.model.", open_clip, 1280, 32, 32)],
    ),
}


def identified(shapes):
    """Tensors of these shapes whose value at every place is their index. Of what converters split or transpose, row r is index + r / 8192."""
    tensors = {}
    for index, (name, shape) in enumerate(shapes.items()):
        value = torch.tensor(float(index), dtype=torch.float64)
        if "in_proj" in name or name.endswith("text_projection"):
            rows = value + torch.arange(shape[0], dtype=torch.float64) / 8192
            tensors[name] = rows.reshape([-1] + [1] * (len(shape) - 1)).expand(shape)
        else:
            tensors[name] = value.expand(shape)
    return tensors


def operation(source, target):
    """How the converter got `target`, a tensor made of `source`'s values."""
    if len(source.shape) != len(target.shape):
        return "reshape"
    if source.shape[0] == 3 * target.shape[0]:
        part = (target.flatten()[0] - source.flatten()[0]) * 8192 / target.shape[0]
        return f"rows{int(part)}"
    return "rename" if torch.equal(source[:2], target[:2]) else "transpose"


def lines(family):
    unet, encoders = FAMILIES[family]
    single = {f"model.diffusion_model.{k}": v for k, v in ldm_unet(*unet).items()}
    single |= {f"first_stage_model.{k}": v for k, v in ldm_vae().items()}
    for _, prefix, names, width, layers, _ in encoders:
        single |= {prefix + k: v for k, v in names(width, layers).items()}
    tensors = identified(single)
    names = list(single)

    with torch.device("meta"):
        networks = {"unet": UNet2DConditionModel(**unet_config(*unet))}
        networks["vae"] = AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=[128, 256, 512, 512], layers_per_block=2, latent_channels=4,
        )
        for folder, _, _, width, _, layers in encoders:
            config = CLIPTextConfig(hidden_size=width, intermediate_size=4 * width, projection_dim=width, num_hidden_layers=layers)
            networks[folder] = CLIPTextModelWithProjection(config)
    parts = {
        "unet": convert_ldm_unet_checkpoint(dict(tensors), networks["unet"].config),
        "vae": convert_ldm_vae_checkpoint(dict(tensors), networks["vae"].config),
    }
    for folder, prefix, kind, _, _, _ in encoders:
        own = {k: v for k, v in tensors.items() if k.startswith(prefix)}
        if kind is openai_clip:
            parts[folder] = convert_ldm_clip_checkpoint(own)
        else:
            parts[folder] = convert_open_clip_checkpoint(networks[folder], own, prefix=prefix)

    used = set()
    for folder, converted in parts.items():
        expected = {k: list(v.shape) for k, v in networks[folder].state_dict().items()}
        if folder == "text_encoder":  # CLIPTextModel has no projection
            del expected["text_projection.weight"]
        buffers = {k for k in converted if k.endswith("position_ids")}
        found = {k: list(v.shape) for k, v in converted.items() if k not in buffers}
        assert found == expected, (family, folder, set(found.items()) ^ set(expected.items()))
        for name, target in sorted(converted.items()):
            if name in buffers:
                continue
            source = names[int(target.flatten()[0])]
            used.add(source)
            how = operation(tensors[source], target)
            yield "\t".join([source, shape(single[source]), f"{folder}/{name}", shape(target.shape), how])
    for name in names:
        if name not in used:
            yield "\t".join([name, shape(single[name]), "-", "-", "ignored"])


def shape(dims):
    return ",".join(map(str, dims))


def front_coded(rows):
    before = ""
    for row in rows:
        shared = 0
        while shared < min(len(before), len(row)) and before[shared] == row[shared]:
            shared += 1
        yield f"{shared}\t{row[shared:]}\n"
        before = row


def values():
    """A two-layer OpenCLIP with numbers, before and after diffusers' converter."""
    generator = torch.Generator().manual_seed(7)
    shapes = open_clip(4, 2)
    shapes["token_embedding.weight"] = [5, 4]
    prefix = "conditioner.embedders.1.model."
    single = {prefix + k: torch.randn(v, generator=generator).half() for k, v in shapes.items()}
    network = CLIPTextModelWithProjection(CLIPTextConfig(hidden_size=4, num_attention_heads=1, num_hidden_layers=2))
    converted = convert_open_clip_checkpoint(network, single, prefix=prefix)
    return single | {f"text_encoder_2/{k}": v for k, v in converted.items()}


if __name__ == "__main__":
    folder = golden.TESTDATA / "layouts"
    folder.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        path = folder / f"{family}.tsv"
        path.write_text("".join(front_coded(sorted(lines(family)))))
        note = "single-file name, shape, diffusers name, shape, operation; front-coded lines"
        golden.record(path, seed=None, tolerance=0, note=note)
    note = "a small OpenCLIP text encoder before and after convert_open_clip_checkpoint"
    golden.save("layouts", "openclip", values(), seed=7, tolerance=0, note=note)
