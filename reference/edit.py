"""Goldens of prompt-to-prompt: testdata/pipeline/, a plain re-implementation in PyTorch on diffusers' pipelines.

Written from the paper (Hertz et al. 2022, arXiv:2208.01626): both prompts in one batch from one noise; an attention processor that
computes probabilities and hands those of the old prompt's row to the new one's; the local blend of the latents after each step. The
program CrossAttentionControl is the other method: the old prompt looks at the new picture's latents.

Checkpoints, size, steps and seed are those of pipeline.py, alignments those of alignment.py.

    python reference/edit.py TOKENIZER_FOLDER
"""

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch.nn.functional import interpolate, max_pool2d

import alignment
import golden
import pipeline as plain

torch.set_num_threads(1)

OLD = "portrait photo of a smiling woman with glasses"
DDIM = dict(**plain.TRAINING, set_alpha_to_one=False, clip_sample=False)

# name: checkpoint, new prompt, alignment, guidance scale, and what else is asked for
CASES = {
    "sd15_edit_words": ("sd15", "portrait photo of a laughing man with glasses", "words", 7.5, {}),
    "sd21_v_edit_common": (
        "sd21_v", "portrait photo of a smiling old woman with a hat", "common", 7.5,
        dict(cross=(0.2, 0.9), own=(0.1, 0.6), weights={"hat": 3.0, "smiling": -1.0}),
    ),
    "sdxl_edit_words": ("sdxl", "portrait painting of a smiling woman with chrysanthemums", "words", 5.0, dict(own_side=4)),
    "sd15_edit_blend": ("sd15", "portrait photo of a smiling woman with earrings", "words", 7.5, dict(blend=["glasses", "earrings"])),
    "sd15_edit_shared": ("sd15", "portrait photo of a smiling woman without glasses", "blocks", 7.5, dict(cross=(0, 1), own=(0, 1), shared=True)),
}


class Control:
    """What one run knows of its attention: rows are (negative old, negative new, old, new)."""

    def __init__(self, tokenizer, new, way, cross=(0, 0.8), own=(0, 0.4), own_side=16, weights={}, blend=(), shared=False):
        old_words, new_words = alignment.words(tokenizer, OLD), alignment.words(tokenizer, new)
        matrix, kept = {"words": alignment.replaced, "common": alignment.refined, "blocks": alignment.blocks}[way](old_words, new_words)
        self.matrix, self.kept = torch.tensor(matrix).float(), torch.tensor(kept).float()
        self.weights = torch.ones(alignment.ROW)
        for word, weight in weights.items():
            self.weights[self.find(tokenizer, new_words, word)] = weight
        self.words = [sum((self.find(tokenizer, words, word) for word in blend), []) for words in (old_words, new_words)]
        self.cross, self.own, self.own_side, self.shared = cross, own, own_side, shared
        self.step, self.saved, self.sums = 0, {}, {}

    @staticmethod
    def find(tokenizer, words, word):
        wanted, row = tokenizer.encode(word)[1:-1], sum(words, [])
        starts = [at for at in range(len(row)) if row[at : at + len(wanted)] == wanted]
        return [start + index for start in starts for index in range(len(wanted))]

    def acts(self, interval, steps):
        return int(interval[0] * steps) <= self.step < int(interval[1] * steps)

    def edited(self, old, new, is_cross):
        if is_cross and self.acts(self.cross, plain.STEPS + 1):
            return (old @ self.matrix + new * self.kept) * self.weights
        if not is_cross and self.acts(self.own, plain.STEPS) and new.shape[-2] <= self.own_side**2:
            return old
        return new

    def see(self, layer, probabilities, is_cross):
        if self.shared:
            if self.asking == "old":
                self.saved[layer] = probabilities
            elif self.asking == "new":
                probabilities = self.edited(self.saved[layer], probabilities, is_cross)
            return probabilities
        probabilities[3] = self.edited(probabilities[2], probabilities[3], is_cross)
        if is_cross and "mid" not in layer:
            self.sums[layer] = self.sums.get(layer, 0) + probabilities[2:].mean(1)
        return probabilities

    def blend(self, latents):
        """Paper, section 4.1, local editing: where a word is looked at with more than 0.3 of the most."""
        if self.step < int(0.2 * plain.STEPS):
            return latents
        most = max(sums.shape[1] for sums in self.sums.values())  # of 8x8 and smaller, the nearest to 16x16
        total = sum(sums for sums in self.sums.values() if sums.shape[1] == most)
        side = int(most**0.5)
        masks = []
        for row, words in enumerate(self.words):
            looked = total[row][:, words].sum(-1).reshape(1, 1, side, side)
            looked = interpolate(max_pool2d(looked, 3, stride=1, padding=1), latents.shape[-2:])
            masks.append(looked / looked.max() > 0.3)
        mask = (masks[0] | masks[1]).float()
        return torch.cat([latents[:1], latents[:1] + mask * (latents[1:] - latents[:1])])


class Processor:
    def __init__(self, control, layer):
        self.control, self.layer = control, layer

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **_):
        is_cross = encoder_hidden_states is not None
        seen = encoder_hidden_states if is_cross else hidden_states
        heads = lambda x: x.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        q, k, v = heads(attn.to_q(hidden_states)), heads(attn.to_k(seen)), heads(attn.to_v(seen))
        probabilities = (q @ k.transpose(-1, -2) * attn.scale).softmax(-1)
        probabilities = self.control.see(self.layer, probabilities, is_cross)
        return attn.to_out[0]((probabilities @ v).transpose(1, 2).flatten(-2))


def paired(pipe, control, new, scale):
    noise = torch.randn((1, 4, plain.SIZE // 8, plain.SIZE // 8), generator=torch.Generator("cpu").manual_seed(plain.SEED))

    def after(pipe, step, timestep, values):
        latents = control.blend(values["latents"]) if any(control.words) else values["latents"]
        control.step += 1
        return {"latents": latents}

    return pipe(
        [OLD, new], negative_prompt=[plain.NEGATIVE] * 2, height=plain.SIZE, width=plain.SIZE, num_inference_steps=plain.STEPS,
        guidance_scale=scale, latents=noise.repeat(2, 1, 1, 1), callback_on_step_end=after,
    ).images


def shared(pipe, control, new, scale):
    """One row of latents, seen by the negative prompt, the old prompt and the new prompt in turn."""
    latents = torch.randn((1, 4, plain.SIZE // 8, plain.SIZE // 8), generator=torch.Generator("cpu").manual_seed(plain.SEED))
    encode = lambda text: pipe.encode_prompt(text, "cpu", 1, False)[0]
    asked = {"negative": encode(plain.NEGATIVE), "old": encode(OLD), "new": encode(new)}
    pipe.scheduler.set_timesteps(plain.STEPS)
    for timestep in pipe.scheduler.timesteps:
        predictions = {}
        for control.asking, context in asked.items():
            predictions[control.asking] = pipe.unet(latents, timestep, encoder_hidden_states=context).sample
        guided = predictions["negative"] + scale * (predictions["new"] - predictions["negative"])
        latents = pipe.scheduler.step(guided, timestep, latents).prev_sample
        control.step += 1
    decoded = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample
    return pipe.image_processor.postprocess(decoded.detach(), output_type="pil")


def write(name, base, new, way, scale, asked):
    pipe = {"sd15": plain.sd15, "sd21_v": plain.sd21_v, "sdxl": plain.sdxl}[base]()
    if base == "sd15":
        pipe.scheduler = DDIMScheduler(**DDIM)
    pipe.set_progress_bar_config(disable=True)
    control = Control(plain.tokenizer("<|endoftext|>"), new, way, **asked)
    pipe.unet.set_attn_processor({layer: Processor(control, layer) for layer in pipe.unet.attn_processors})
    with torch.no_grad():
        images = (shared if control.shared else paired)(pipe, control, new, scale)
    pixels = np.stack([np.asarray(image) for image in images])
    print(name, pixels.shape, "the two differ by", np.abs(pixels[0].astype(float) - pixels[-1]).mean())
    golden.save("pipeline", name, {"pixels": pixels}, seed=plain.SEED, tolerance=1e-6,
                note=f"64x64 pixels of the pictures of an edit on the {base}-shaped pipeline; at least 60 dB")


if __name__ == "__main__":
    for name, case in CASES.items():
        write(name, *case)
