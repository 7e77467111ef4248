"""Goldens of tronie-models' UNet, from diffusers' UNet2DConditionModel in float32.

Weights and inputs follow golden_weights.py, so a golden holds only what the network answered. The configuration of each
network is the file diffusers writes for it.

    python reference/unet.py [folder of a trained diffusers unet]
"""

import json
import sys

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file

import golden
from golden_weights import fill, inputs

torch.set_num_threads(1)

CROSS_DOWN, DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
CROSS_UP, UP = "CrossAttnUpBlock2D", "UpBlock2D"

BASE = dict(
    sample_size=8,
    block_out_channels=(16, 32, 32),
    down_block_types=(CROSS_DOWN, CROSS_DOWN, DOWN),
    up_block_types=(UP, CROSS_UP, CROSS_UP),
    layers_per_block=2,
    norm_num_groups=8,
    cross_attention_dim=24,
    attention_head_dim=4,
)
SD2 = BASE | dict(attention_head_dim=(2, 4, 4), use_linear_projection=True, upcast_attention=True)
SDXL = BASE | dict(
    down_block_types=(DOWN, CROSS_DOWN, CROSS_DOWN),
    up_block_types=(CROSS_UP, CROSS_UP, UP),
    attention_head_dim=(1, 2, 4),
    transformer_layers_per_block=(1, 2, 3),
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=16,
    projection_class_embeddings_input_dim=20 + 6 * 16,
)
REFINER = SDXL | dict(
    block_out_channels=(16, 32, 32, 32),
    down_block_types=(DOWN, CROSS_DOWN, CROSS_DOWN, DOWN),
    up_block_types=(UP, CROSS_UP, CROSS_UP, UP),
    attention_head_dim=(1, 2, 4, 4),
    transformer_layers_per_block=2,
    projection_class_embeddings_input_dim=20 + 5 * 16,
)
# Every key that may be a list is one, and nothing is symmetric.
LISTS = BASE | dict(
    down_block_types=(CROSS_DOWN, CROSS_DOWN, DOWN),
    up_block_types=(CROSS_UP, CROSS_UP, UP),
    layers_per_block=(1, 2, 1),
    cross_attention_dim=(24, 24, 24),
    attention_head_dim=(2, 4, 8),
    only_cross_attention=(True, False, True),
    transformer_layers_per_block=((2,), (1, 2), (1,)),
    reverse_transformer_layers_per_block=((1, 2), (2, 1, 1), (1, 1)),
    flip_sin_to_cos=False,
    freq_shift=1,
    time_embedding_dim=48,
)
SMALL = BASE | dict(
    block_out_channels=(16, 32),
    down_block_types=(CROSS_DOWN, CROSS_DOWN),
    up_block_types=(CROSS_UP, CROSS_UP),
    layers_per_block=1,
)

# name: configuration, latents' batch, height and width, timesteps, and what is special
CASES = {
    "sd15": (BASE, (1, 8, 8), [981.0], {}),
    "sd2": (SD2, (1, 8, 8), [500.0], {}),
    "sdxl": (SDXL, (2, 8, 8), [981.0, 981.0], dict(sizes=[1024, 768, 0, 64, 1024, 1024])),
    "refiner": (REFINER, (2, 16, 8), [181.0, 181.0], dict(sizes=[1024, 768, 0, 64, 6.5])),
    "inpaint": (BASE | dict(in_channels=9), (1, 8, 8), [301.0], {}),
    "odd_size": (BASE, (1, 9, 7), [77.0], {}),
    "timesteps": (SMALL, (2, 4, 8), [0.25, 631.5], {}),
    "lists": (LISTS, (1, 8, 8), [42.0], {}),
    "plain_mid": (SMALL | dict(mid_block_type="UNetMidBlock2D"), (1, 6, 6), [10.0], {}),
    "no_mid": (SMALL | dict(mid_block_type=None), (1, 6, 6), [10.0], {}),
    "control": (SMALL, (1, 8, 8), [700.0], dict(control=True)),
    "half": (BASE, (1, 8, 8), [981.0], dict(dtype=torch.float16)),
}
N_TOKENS = 5


def conditioning(unet, batch, special):
    """Keyword arguments of UNet2DConditionModel.forward, and what a golden must hold of them."""
    width = unet.config.cross_attention_dim
    width = width if isinstance(width, int) else width[0]
    arguments = {"encoder_hidden_states": inputs("context", (batch, N_TOKENS, width))}
    stored = {}
    if "sizes" in special:
        stored["time_ids"] = torch.tensor([special["sizes"]] * batch, dtype=torch.float32)
        arguments["added_cond_kwargs"] = {"text_embeds": inputs("pooled", (batch, 20)), "time_ids": stored["time_ids"]}
    return arguments, stored


def control_residuals(unet, latents, timestep, arguments):
    """Residuals in the shapes of the skips, by the rule of inputs; b c h w as diffusers wants them."""
    shapes = []
    hooks = [unet.conv_in.register_forward_hook(lambda m, i, o: shapes.append(o.shape))]
    for block in unet.down_blocks:
        hooks.append(block.register_forward_hook(lambda m, i, o: shapes.extend(state.shape for state in o[1])))
    hooks.append(unet.mid_block.register_forward_hook(lambda m, i, o: shapes.append(o.shape)))
    unet(latents, timestep, **arguments)
    for hook in hooks:
        hook.remove()
    residuals = [
        0.5 * inputs(f"control.{index}", (b, h, w, c)).permute(0, 3, 1, 2)
        for index, (b, c, h, w) in enumerate(shapes)
    ]
    return dict(down_block_additional_residuals=residuals[:-1], mid_block_additional_residual=residuals[-1])


def write_case(name, config, size, timesteps, special):
    dtype = special.get("dtype", torch.float32)
    unet = fill(UNet2DConditionModel(**config), dtype).eval()
    batch, height, width = size
    latents = inputs("latents", (batch, unet.config.in_channels, height, width))
    timestep = torch.tensor(timesteps, dtype=torch.float32)
    arguments, stored = conditioning(unet, batch, special)
    with torch.no_grad():
        if special.get("control"):
            arguments |= control_residuals(unet, latents, timestep, arguments)
        output = unet(latents, timestep, **arguments).sample
    stored |= {"timestep": timestep, "output": output}
    save(name, unet, stored, tolerance=1e-5, note=f"forward of a tiny UNet: {name}")


def save(name, unet, stored, *, tolerance, note):
    golden.save("unet", name, stored, seed=None, tolerance=tolerance, note=note)
    path = golden.TESTDATA / "unet" / f"{name}.config.json"
    path.write_text(unet.to_json_string())
    golden.record(path, seed=None, tolerance=0.0, note=f"configuration of {name}, as diffusers writes it")


def write_gradients():
    """Gradients of sum(output * probe) with respect to the inputs and to one parameter of each kind."""
    unet = fill(UNet2DConditionModel(**SMALL)).eval()
    latents = inputs("latents", (1, 4, 8, 8)).requires_grad_()
    context = inputs("context", (1, N_TOKENS, 24)).requires_grad_()
    timestep = torch.tensor([321.0])
    output = unet(latents, timestep, encoder_hidden_states=context).sample
    (output * inputs("probe", tuple(output.shape))).sum().backward()
    parameters = dict(unet.named_parameters())
    names = [
        "conv_in.weight",
        "time_embedding.linear_1.bias",
        "down_blocks.0.resnets.0.conv1.bias",
        "down_blocks.0.resnets.0.time_emb_proj.bias",
        "down_blocks.0.attentions.0.norm.weight",
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
        "down_blocks.0.downsamplers.0.conv.bias",
        "mid_block.attentions.0.transformer_blocks.0.norm1.weight",
        "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj.bias",
        "up_blocks.0.resnets.0.conv_shortcut.bias",
        "up_blocks.1.attentions.0.proj_out.weight",
        "conv_out.bias",
    ]
    stored = {name: parameters[name].grad for name in names}
    stored |= {"timestep": timestep, "latents": latents.grad, "context": context.grad}
    save("gradients", unet, stored, tolerance=1e-4, note="gradients of sum(output * probe) of a tiny UNet")


def write_embeddings():
    """get_timestep_embedding in the arrangements that configurations ask for."""
    from diffusers.models.embeddings import get_timestep_embedding

    values = torch.tensor([0.0, 0.25, 1.0, 499.5, 999.0, 1024.0])
    stored = {"values": values}
    for flip in (0, 1):
        for shift in (0, 1):
            stored[f"flip{flip}.shift{shift}"] = get_timestep_embedding(
                values, 32, flip_sin_to_cos=bool(flip), downscale_freq_shift=shift
            )
    golden.save("unet", "sinusoids", stored, seed=None, tolerance=1e-4, note="sinusoids of timesteps and sizes, width 32")


def write_trained(folder):
    """One forward on trained weights, which the golden does not hold."""
    config = json.load(open(f"{folder}/config.json"))
    unet = UNet2DConditionModel.from_config(config).eval()
    weights = load_file(f"{folder}/diffusion_pytorch_model.safetensors")
    unet.load_state_dict({name: value.float() for name, value in weights.items()})
    latents = inputs("latents", (2, 4, 16, 16))
    context = inputs("context", (2, 77, config["cross_attention_dim"]))
    timestep = torch.tensor([981.0, 1.0])
    with torch.no_grad():
        output = unet(latents, timestep, encoder_hidden_states=context).sample
    golden.save(
        "unet",
        "mini_seed",
        {"timestep": timestep, "output": output},
        seed=None,
        tolerance=1e-5,
        note="forward of tronie-mini-seed's UNet",
    )


if __name__ == "__main__":
    for name, (config, size, timesteps, special) in CASES.items():
        write_case(name, config, size, timesteps, special)
    write_gradients()
    write_embeddings()
    if len(sys.argv) > 1:
        write_trained(sys.argv[1])
