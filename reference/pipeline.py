"""Goldens of whole pipelines: testdata/pipeline/, from diffusers' own text-to-image pipelines in float32 on the CPU.

Small networks of the three families with the weights of golden_weights.py, their configurations as diffusers writes them, and
the picture that the pipeline's official scheduler makes of a prompt, a negative prompt and a seed.

    python reference/pipeline.py TOKENIZER_FOLDER

TOKENIZER_FOLDER holds the tokenizer.json of any Stable Diffusion checkpoint (CLIP's vocabulary of 49,408 tokens).
"""

import json
import sys

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import golden
import unet as unets
from clip import fill as fill_text
from golden_weights import fill

torch.set_num_threads(1)

PROMPT = "portrait photo of a smiling woman with glasses"
NEGATIVE = "blurry, cropped"
SIZE = 64
STEPS = 10
SEED = 20
TRAINING = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000, steps_offset=1)


def tokenizer(pad_token):
    loaded = CLIPTokenizer.from_pretrained(sys.argv[1], pad_token=pad_token)
    loaded.model_max_length = 77
    return loaded


def text_encoder(cls, width, **differences):
    config = CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=77, **differences,
    )
    return fill_text(cls(config).eval())


def autoencoder(scaling_factor):
    return fill(AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(8, 16, 16, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, sample_size=SIZE,
        scaling_factor=scaling_factor,
    ).eval())


def unet(base, **differences):
    return fill(UNet2DConditionModel(**(base | differences)).eval())


def sd15():
    return StableDiffusionPipeline(
        vae=autoencoder(0.18215), unet=unet(unets.BASE), scheduler=PNDMScheduler(**TRAINING, set_alpha_to_one=False, skip_prk_steps=True),
        text_encoder=text_encoder(CLIPTextModel, 24, hidden_act="quick_gelu", eos_token_id=2), tokenizer=tokenizer("<|endoftext|>"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )


def sd21_v():
    scheduler = DDIMScheduler(**TRAINING, set_alpha_to_one=False, clip_sample=False, prediction_type="v_prediction")
    return StableDiffusionPipeline(
        vae=autoencoder(0.18215), unet=unet(unets.SD2), scheduler=scheduler,
        text_encoder=text_encoder(CLIPTextModel, 24, hidden_act="gelu", eos_token_id=2), tokenizer=tokenizer("!"),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )


def sdxl():
    return StableDiffusionXLPipeline(
        vae=autoencoder(0.13025), unet=unet(unets.SDXL), scheduler=EulerDiscreteScheduler(**TRAINING, timestep_spacing="leading"),
        text_encoder=text_encoder(CLIPTextModel, 8, hidden_act="quick_gelu", eos_token_id=2), tokenizer=tokenizer("<|endoftext|>"),
        text_encoder_2=text_encoder(CLIPTextModelWithProjection, 16, hidden_act="gelu", eos_token_id=2, projection_dim=20),
        tokenizer_2=tokenizer("!"), add_watermarker=False,
    )


def parts(pipeline):
    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


def folder(pipeline):
    """The configuration files of a diffusers folder, and the shape of every tensor beside them."""
    def config(part):
        text = part.to_json_string() if hasattr(part, "to_json_string") else part.config.to_json_string()
        return json.loads(text)

    files = {"model_index.json": config(pipeline), "scheduler/scheduler_config.json": config(pipeline.scheduler)}
    shapes = {}
    for name, part in parts(pipeline).items():
        files[f"{name}/config.json"] = config(part) | ({"architectures": [type(part).__name__]} if "text" in name else {})
        prefix = "text_model." if type(part) is CLIPTextModel and not next(iter(part.state_dict())).startswith("text_model.") else ""
        shapes[name] = {prefix + key: list(value.shape) for key, value in part.named_parameters()}
    for name in ("tokenizer", "tokenizer_2"):
        if getattr(pipeline, name, None) is not None:
            files[f"{name}/tokenizer_config.json"] = {"pad_token": str(getattr(pipeline, name).pad_token)}
    return {"files": files, "shapes": shapes}


def write(name, pipeline, scale):
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline(
        PROMPT, negative_prompt=NEGATIVE, height=SIZE, width=SIZE, num_inference_steps=STEPS, guidance_scale=scale,
        generator=torch.Generator("cpu").manual_seed(SEED),
    ).images[0]
    pixels = np.asarray(picture)
    print(name, pixels.shape, "mean", pixels.mean(), "saturated", ((pixels == 0) | (pixels == 255)).mean())
    golden.save("pipeline", name, {"pixels": pixels}, seed=SEED, tolerance=1e-6,
                note=f"64x64 pixels of a {name}-shaped pipeline, {STEPS} steps, scale {scale}; at least 60 dB")
    path = golden.TESTDATA / "pipeline" / f"{name}.json"
    path.write_text(json.dumps(folder(pipeline), separators=(",", ":")))
    golden.record(path, seed=None, tolerance=0.0, note=f"configurations and tensor shapes of the {name}-shaped pipeline")


if __name__ == "__main__":
    write("sd15", sd15(), 7.5)
    write("sd21_v", sd21_v(), 7.5)
    write("sdxl", sdxl(), 5.0)
