"""Golden of a pipeline with another autoencoder: testdata/pipeline/sd15_vae, from diffusers in float32 on the CPU.

The sd15-shaped pipeline of pipeline.py from a picture, so that both halves of the autoencoder are in it. The other one's weights are
those of golden_weights.py by their names behind "other.".

    python reference/other_vae.py TOKENIZER_FOLDER
"""

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionImg2ImgPipeline

import golden
import pipeline
from control_pipeline import picture
from golden_weights import weight

torch.set_num_threads(1)

STRENGTH = 0.6


def other():
    network = pipeline.autoencoder(0.18215)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            parameter.copy_(weight(f"other.{name}", tuple(parameter.shape)))
    return network


def make(vae):
    parts = {key: value for key, value in pipeline.sd15().components.items() if key not in ("image_encoder", "vae", "scheduler")}
    scheduler = DDIMScheduler(**pipeline.TRAINING, set_alpha_to_one=False, clip_sample=False)
    pipe = StableDiffusionImg2ImgPipeline(**parts, vae=vae, scheduler=scheduler, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return np.asarray(pipe(
        pipeline.PROMPT, negative_prompt=pipeline.NEGATIVE, image=picture(4), strength=STRENGTH, num_inference_steps=pipeline.STEPS,
        guidance_scale=7.5, generator=torch.Generator("cpu").manual_seed(pipeline.SEED),
    ).images[0])


if __name__ == "__main__":
    pixels, own = make(other()), make(pipeline.autoencoder(0.18215))
    print("differs from the own autoencoder's by", np.abs(pixels.astype(float) - own).mean())
    golden.save("pipeline", "sd15_vae", {"pixels": pixels}, seed=pipeline.SEED, tolerance=1e-6,
                note="64x64 pixels of image to image with another autoencoder on the sd15-shaped pipeline; at least 60 dB")
