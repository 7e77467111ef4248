"""Goldens of pipelines that start from a picture: testdata/pipeline/{img2img,inpaint*,refiner,interpolate}*, from diffusers in float32 on the CPU.

The networks of pipeline.py, and an inpainting UNet of nine channels and an SDXL refiner beside them. The picture and the mask are
drawn here and stored with what the pipelines make of them. The scheduler is DDIM or Euler: diffusers' PNDMScheduler repeats its
second timestep, so that image to image is out of step with it.

    python reference/image_to_image.py TOKENIZER_FOLDER
"""

import json

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionXLImg2ImgPipeline,
)
from PIL import Image
from transformers import CLIPTextModelWithProjection

import golden
import pipeline
import unet as unets

SIZE = pipeline.SIZE


def picture():
    """Something with edges, slopes and colours."""
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    rgb = np.stack([x * 4, y * 4, 255 - (x + y) * 2], axis=-1)
    disc = (x - 30) ** 2 + (y - 26) ** 2 < 15 ** 2
    rgb[disc] = (230, 180, 150)
    return Image.fromarray(rgb.astype(np.uint8))


def mask():
    """A rectangle that does not end where latents do."""
    values = np.zeros((SIZE, SIZE), np.uint8)
    values[13:45, 19:52] = 255
    return Image.fromarray(values)


def ddim():
    return DDIMScheduler(**pipeline.TRAINING, set_alpha_to_one=False, clip_sample=False)


def sd15(cls, **differences):
    parts = pipeline.sd15().components | {"scheduler": ddim()} | differences
    return cls(**parts, requires_safety_checker=False)


def v_prediction():
    return StableDiffusionImg2ImgPipeline(**pipeline.sd21_v().components, requires_safety_checker=False)


def sdxl():
    return StableDiffusionXLImg2ImgPipeline(**pipeline.sdxl().components, add_watermarker=False)


def run(pipe, guidance_scale=7.5, **differences):
    pipe.set_progress_bar_config(disable=True)
    return np.asarray(pipe(
        pipeline.PROMPT, negative_prompt=pipeline.NEGATIVE, num_inference_steps=pipeline.STEPS, guidance_scale=guidance_scale,
        generator=torch.Generator("cpu").manual_seed(pipeline.SEED), **differences,
    ).images[0])


def save(name, pixels, note):
    print(name, "mean", pixels.mean(), "saturated", ((pixels == 0) | (pixels == 255)).mean())
    golden.save("pipeline", name, {"pixels": pixels}, seed=pipeline.SEED, tolerance=1e-6,
                note=f"64x64 pixels of {note}, {pipeline.STEPS} steps; at least 60 dB")


def describe(name, pipe):
    path = golden.TESTDATA / "pipeline" / f"{name}.json"
    path.write_text(json.dumps(pipeline.folder(pipe), separators=(",", ":")))
    golden.record(path, seed=None, tolerance=0.0, note=f"configurations and tensor shapes of the {name}-shaped pipeline")


def refiner():
    base = pipeline.sdxl()
    return StableDiffusionXLImg2ImgPipeline(
        vae=base.vae, unet=pipeline.unet(unets.REFINER, cross_attention_dim=16), scheduler=EulerDiscreteScheduler(**pipeline.TRAINING, timestep_spacing="leading"),
        text_encoder=None, tokenizer=None, tokenizer_2=pipeline.tokenizer("!"),
        text_encoder_2=pipeline.text_encoder(CLIPTextModelWithProjection, 16, hidden_act="gelu", eos_token_id=2, projection_dim=20),
        requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False,
    )


def refined():
    """The base's first 70 percent, the refiner's rest."""
    shared = dict(num_inference_steps=pipeline.STEPS, guidance_scale=5.0, negative_prompt=pipeline.NEGATIVE)
    base, second = pipeline.sdxl(), refiner()
    describe("sdxl_refiner", second)
    base.set_progress_bar_config(disable=True)
    second.set_progress_bar_config(disable=True)
    generator = torch.Generator("cpu").manual_seed(pipeline.SEED)
    latents = base(pipeline.PROMPT, height=SIZE, width=SIZE, denoising_end=0.7, output_type="latent", generator=generator, **shared).images
    return np.asarray(second(pipeline.PROMPT, image=latents, denoising_start=0.7, generator=generator, **shared).images[0])


def interpolations():
    """Every mode at sizes that are no multiples, both ways."""
    torch.manual_seed(pipeline.SEED)
    x = torch.randn(1, 2, 5, 7)
    made = {"x": x}
    modes = {"nearest": {}, "nearest-exact": {}, "bilinear": {}, "bicubic": {},
             "bilinear-antialiased": {"antialias": True}, "bicubic-antialiased": {"antialias": True}}
    for name, options in modes.items():
        for size in [(8, 13), (10, 14), (3, 4)]:
            mode = name.removesuffix("-antialiased")
            made[f"{name} {size[0]}x{size[1]}"] = torch.nn.functional.interpolate(x, size=size, mode=mode, **options)
    golden.save("pipeline", "interpolate", made, seed=pipeline.SEED, tolerance=1e-6, note="torch's interpolate of a small map, every mode")


if __name__ == "__main__":
    shown = {"picture": np.asarray(picture()), "mask": np.asarray(mask())}
    golden.save("pipeline", "source", shown, seed=None, tolerance=0.0, note="the picture and the mask that image to image starts from")
    save("img2img_sd15", run(sd15(StableDiffusionImg2ImgPipeline), image=picture(), strength=0.6), "an sd15-shaped img2img pipeline, strength 0.6")
    save("img2img_sd21_v", run(v_prediction(), image=picture(), strength=0.6), "an sd21_v-shaped img2img pipeline, strength 0.6")
    xl = run(sdxl(), image=picture(), strength=0.6, guidance_scale=5.0)
    save("img2img_sdxl", xl, "an sdxl-shaped img2img pipeline, strength 0.6")
    for name, strength in [("part", 0.8), ("full", 1.0)]:
        four = sd15(StableDiffusionInpaintPipeline)
        pixels = run(four, image=picture(), mask_image=mask(), strength=strength, height=SIZE, width=SIZE)
        save(f"inpaint4_{name}", pixels, f"an sd15-shaped inpaint pipeline, 4 channels, strength {strength}")
        nine = sd15(StableDiffusionInpaintPipeline, unet=pipeline.unet(unets.BASE, in_channels=9))
        pixels = run(nine, image=picture(), mask_image=mask(), strength=strength, height=SIZE, width=SIZE)
        save(f"inpaint9_{name}", pixels, f"an sd15-shaped inpaint pipeline, 9 channels, strength {strength}")
    describe("sd15_inpaint", nine)
    save("refiner_sdxl", refined(), "an sdxl-shaped base and a refiner from 0.7 on")
    interpolations()
