"""Goldens of null-text inversion: testdata/pipeline/, a plain re-implementation in PyTorch on diffusers' pipelines.

Written from the paper (Mokady et al. 2022, arXiv:2211.09794): DDIM backwards without guidance, then the negative prompt's context of each
step trained by torch's own Adam. Checkpoints, size, steps and seed are those of pipeline.py; the picture is a formula.

    python reference/null_text.py TOKENIZER_FOLDER
"""

import numpy as np
import torch
from diffusers import DDIMScheduler

import control_pipeline
import edit
import golden
import pipeline as plain

torch.set_num_threads(1)

SCALE = 4.0
INNER = 4
CASES = {"sd15_null_text": ("sd15", "epsilon"), "sd21_v_null_text": ("sd21_v", "v_prediction")}


def run(base, prediction):
    pipe = {"sd15": plain.sd15, "sd21_v": plain.sd21_v}[base]()
    scheduler = DDIMScheduler(**edit.DDIM, prediction_type=prediction)
    scheduler.set_timesteps(plain.STEPS)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.requires_grad_(False)
    encode = lambda text: pipe.encode_prompt(text, "cpu", 1, False)[0]
    asked, negative = encode(edit.OLD), encode(plain.NEGATIVE)
    alphas = [scheduler.alphas_cumprod[t] for t in scheduler.timesteps] + [scheduler.final_alpha_cumprod]

    def noise(latents, timestep, alpha, context):
        """The noise the network sees, told a timestep, in latents of this alpha."""
        predicted = pipe.unet(latents, timestep, encoder_hidden_states=context).sample
        return predicted if prediction == "epsilon" else alpha**0.5 * predicted + (1 - alpha) ** 0.5 * latents

    def move(latents, noise, before, after):
        clean = (latents - (1 - before) ** 0.5 * noise) / before**0.5
        return after**0.5 * clean + (1 - after) ** 0.5 * noise

    image = torch.from_numpy(np.asarray(control_pipeline.picture(4)).copy()).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        path = [pipe.vae.encode(image).latent_dist.mean * pipe.vae.config.scaling_factor]
        for step in reversed(range(plain.STEPS)):
            latents, low, high = path[-1], alphas[step + 1], alphas[step]
            path.append(move(latents, noise(latents, scheduler.timesteps[step], low, asked), low, high))
    path.reverse()

    latents, losses = path[0], []
    for step, timestep in enumerate(scheduler.timesteps):
        high, low = alphas[step], alphas[step + 1]
        negative = negative.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([negative], lr=1e-2 * (1 - step / 100))
        with torch.no_grad():
            conditional = noise(latents, timestep, high, asked)
        for _ in range(INNER):
            unasked = noise(latents, timestep, high, negative)
            landed = move(latents, unasked + SCALE * (conditional - unasked), high, low)
            loss = torch.nn.functional.mse_loss(landed, path[step + 1])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if loss.item() < 1e-5 + step * 2e-5:
                break
        with torch.no_grad():
            unasked = noise(latents, timestep, high, negative)
            latents = move(latents, unasked + SCALE * (conditional - unasked), high, low)
    with torch.no_grad():
        decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    print(base, "first and last loss", losses[0], losses[-1], len(losses), "looks")
    return np.asarray(pipe.image_processor.postprocess(decoded, output_type="pil")[0])


if __name__ == "__main__":
    for name, case in CASES.items():
        note = f"64x64 pixels of a picture inverted and made again by the {case[0]}-shaped pipeline; at least 50 dB"
        golden.save("pipeline", name, {"pixels": run(*case)}, seed=None, tolerance=1e-5, note=note)
