"""Goldens of the autoencoders: testdata/vae/.

Small autoencoders with the weights of golden_weights.py, run by diffusers, whole and tiled; and the autoencoder of
tronie-mini-seed where ../shared holds it.

    python reference/vae.py
"""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, AutoencoderTiny

import golden
import golden_weights

torch.set_num_threads(1)

BASE = {
    "norm_num_groups": 4,
    "latent_channels": 4,
    "sample_size": 16,
}

AUTOENCODERS = {
    "two_levels": {"block_out_channels": (8, 16), "layers_per_block": 1},
    "three_levels": {"block_out_channels": (8, 16, 16), "layers_per_block": 2, "use_quant_conv": False},
    "no_attention": {
        "block_out_channels": (8, 8),
        "layers_per_block": 1,
        "mid_block_add_attention": False,
        "use_post_quant_conv": False,
        "latent_channels": 3,
    },
}

# name: (autoencoder, image h w, latents h w)
SIZES = {
    "two_levels": ((16, 12), (6, 5)),
    "three_levels": ((21, 19), (3, 5)),  # sides that are no multiple of the factor
    "no_attention": ((9, 10), (4, 3)),
}


def autoencoder(name):
    config = BASE | AUTOENCODERS[name]
    n_levels = len(config["block_out_channels"])
    config |= {
        "down_block_types": ("DownEncoderBlock2D",) * n_levels,
        "up_block_types": ("UpDecoderBlock2D",) * n_levels,
    }
    return golden_weights.fill(AutoencoderKL(**config).eval())


def moments(posterior):
    return {"mean": posterior.mean, "log_variance": posterior.logvar}


def whole():
    tensors = {}
    for name, (image_size, latent_size) in SIZES.items():
        vae = autoencoder(name)
        image = golden_weights.inputs("image", (2, 3, *image_size))
        latents = golden_weights.inputs("latents", (2, vae.config.latent_channels, *latent_size))
        values = {"image": vae.decode(latents).sample, **moments(vae.encode(image).latent_dist)}
        tensors |= {f"{name}.{key}": value for key, value in values.items()}
    golden.save(
        "vae",
        "whole",
        tensors,
        seed=None,
        tolerance=1e-4,
        note="moments of the input 'image' and the image of the input 'latents' for small autoencoders",
    )


# name: (image h w, latents h w); tiles are 16 pixels or 8 latents of two_levels, or 16 pixels and 4 latents
TILED = {
    "two_levels": ((39, 26), (17, 11)),
    "three_levels": ((28, 40), (4, 9)),
}


def tiled():
    tensors = {}
    for name, (image_size, latent_size) in TILED.items():
        vae = autoencoder(name)
        vae.enable_tiling()
        image = golden_weights.inputs("image", (1, 3, *image_size))
        latents = golden_weights.inputs("latents", (1, 4, *latent_size))
        values = {"image": vae.decode(latents).sample, **moments(vae.encode(image).latent_dist)}
        tensors |= {f"{name}.{key}": value for key, value in values.items()}
    golden.save(
        "vae",
        "tiled",
        tensors,
        seed=None,
        tolerance=1e-4,
        note="as whole, in tiles of 16 pixels that overlap by a quarter",
    )


def taesd():
    config = {
        "encoder_block_out_channels": (16, 16, 16, 16),
        "decoder_block_out_channels": (16, 16, 16, 16),
    }
    vae = golden_weights.fill(AutoencoderTiny(**config).eval())
    image = golden_weights.inputs("image", (2, 3, 19, 24)).clamp(-1, 1)
    latents = golden_weights.inputs("latents", (2, 4, 3, 2)) * 2
    golden.save(
        "vae",
        "taesd",
        {"latents": vae.encode(image).latents, "image": vae.decode(latents).sample},
        seed=None,
        tolerance=1e-4,
        note="latents of the input 'image' clamped to -1..1 and the image of twice the input 'latents', 16 channels",
    )


def mini():
    folder = Path(__file__).resolve().parent.parent.parent / "shared/models/tronie-mini-seed/vae"
    if not folder.is_dir():
        print("skipped mini: no shared data beside the repository")
        return
    vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float32).eval()
    image = golden_weights.inputs("image", (1, 3, 48, 32)).clamp(-1, 1)
    latents = golden_weights.inputs("latents", (1, 4, 8, 12)) / vae.config.scaling_factor
    golden.save(
        "vae",
        "mini",
        {"image": vae.decode(latents).sample, **moments(vae.encode(image).latent_dist)},
        seed=None,
        tolerance=1e-4,
        note="the autoencoder of tronie-mini-seed on the input 'image' clamped to -1..1 and on scaled 'latents'",
    )


def counts():
    """The parameter counts the tests assert for networks of full size."""
    with torch.device("meta"):
        tiny = AutoencoderTiny()
    for half in [tiny.encoder, tiny.decoder]:
        print(type(half).__name__, sum(p.numel() for p in half.parameters()))


if __name__ == "__main__":
    with torch.no_grad():
        whole()
        tiled()
        taesd()
        mini()
        counts()
