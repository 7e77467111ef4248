"""Whether a portrait model follows its prompts: a probe that has learned five attributes from real pictures looks at generated ones.

    python reference/mini_probe.py FACES TRONIE OUT [MODEL]

FACES is what reference/mini_faces.py has written, TRONIE the program, MODEL a diffusers folder (the embedded model
when left out). OUT gets 200 pictures of 200 fixed prompts, `sheet.png` and `figures.json`.

The probe is one logistic regression for each attribute (sex, age group, hair color, glasses, smile) on histograms of
gradients (Dalal and Triggs 2005) and a thumbnail of colors (of colors alone for hair), learned from the training pictures at 64x64 pixels. Accuracies are
balanced, the mean of the classes' recalls, so that guessing the commonest class gains nothing; they are stated for
held-out pictures and for generated ones, where the prompt is what should be seen.

With a MODEL folder, the held-out denoising loss too: mean squared error of the predicted noise at ten evenly spaced timesteps,
on the held-out pictures under their captions, each against noise of a fixed seed.
"""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.feature import hog
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

SIDE = 64
N_COLORS = 12 * 12 * 3
AGES = {"baby": "child", "child": "child", "young": "young", "middle-aged": "middle-aged", "old": "old"}
COLORS = {"bald": "bald", "blond hair": "blond", "red hair": "red", "gray hair": "gray", "black hair": "dark",
          "brown hair": "dark", **{f"{color} hair": "dyed" for color in ("pink", "blue", "green", "purple")}}


def seen(facts):
    """What the probe is to say of a picture, by attribute; None where that is not known."""
    words = facts["accessory"] or ""
    return {
        "sex": facts["sex"] if facts["age_group"] not in ("baby", "child") else None,
        "age": AGES.get(facts["age_group"]),
        "hair": COLORS.get(facts["hair"]),
        "glasses": ["no", "yes"]["glasses" in words],
        "smile": "yes" if facts["expression"] == "smiling" else "no",
    }


def prompts():
    """200 of them, forty for each attribute, with what has to be seen."""
    rows = []
    people = [("woman", "female"), ("man", "male")]
    for i in range(20):
        for noun, sex in people:
            words = ["", "young ", "old ", "smiling ", "middle-aged "][i % 5]
            rows.append((f"a photo of {'an' if words == 'old ' else 'a'} {words}{noun}", {"sex": sex}))
    for i in range(10):
        noun = people[i % 2][0]
        rows += [(f"a photo of a {('girl', 'boy')[i % 2]}", {"age": "child"}), (f"a photo of a young {noun}", {"age": "young"}),
                 (f"a photo of a middle-aged {noun}", {"age": "middle-aged"}), (f"a photo of an old {noun}", {"age": "old"})]
    colors = ["blond hair", "red hair", "gray hair", "black hair", "blue hair", "pink hair", "green hair", "bald"]
    for i, color in itertools.product(range(5), colors):
        noun = people[i % 2][0]
        text = f"a photo of a bald {people[1][0]}" if color == "bald" else f"a photo of a {noun} with {color}"
        rows.append((text, {"hair": COLORS[color]}))
    for i in range(20):
        noun = people[i % 2][0]
        rows += [(f"a photo of a {noun} with {('glasses', 'sunglasses')[i // 2 % 2]}", {"glasses": "yes"}),
                 (f"a photo of a {noun} with short hair", {"glasses": "no"})]
    for i in range(20):
        noun = people[i % 2][0]
        rows += [(f"a photo of a smiling {noun}", {"smile": "yes"}),
                 (f"a photo of {('an angry', 'a serious')[i // 2 % 2]} {noun}", {"smile": "no"})]
    return rows


def features(path):
    with Image.open(path) as picture:
        rgb = picture.convert("RGB").resize((SIDE, SIDE), Image.LANCZOS)
    pixels = np.asarray(rgb, np.float32) / 255
    gradients = hog(pixels, orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2), channel_axis=2)
    colors = np.asarray(rgb.resize((12, 12), Image.BOX), np.float32).ravel() / 255
    return np.concatenate([gradients, colors])


def probe(faces):
    """The attributes' classifiers and their balanced accuracies on held-out pictures."""
    rows = [json.loads(line) for line in open(faces / "attributes.jsonl")]
    matrix = np.stack([features(faces / row["file_name"]) for row in rows])
    held_out = np.array([row["file_name"].startswith("held-out") for row in rows])
    probes, real = {}, {}
    for attribute in seen(rows[0]):
        labels = np.array([seen(row)[attribute] or "" for row in rows])
        known = labels != ""
        chosen = LogisticRegressionCV(Cs=[1e-4, 1e-3, 1e-2, 1e-1], class_weight="balanced", scoring="balanced_accuracy", max_iter=1000)
        only_colors = FunctionTransformer(lambda x: x[:, -N_COLORS:]) if attribute == "hair" else "passthrough"
        model = make_pipeline(only_colors, StandardScaler(), chosen)
        model.fit(matrix[known & ~held_out], labels[known & ~held_out])
        test = known & held_out
        real[attribute] = (balanced_accuracy_score(labels[test], model.predict(matrix[test])), int(test.sum()))
        probes[attribute] = model
    return probes, real


def generate(tronie, model, out):
    paths = []
    for i, (prompt, _) in enumerate(prompts()):
        folder = out / f"{i:03}"
        if not list(folder.glob("*.png")):
            choice = ["--model", str(model)] if model else []
            command = [tronie, "generate", prompt, "--seed", str(1000 + i), "--steps", "25", "-q", "-o", str(folder), *choice]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        paths.append(next(iter(sorted(folder.glob("*.png")))))
    return paths


def sheet(paths, out):
    columns = 20
    picture = Image.new("RGB", (columns * SIDE, -(-len(paths) // columns) * SIDE))
    for i, path in enumerate(paths):
        with Image.open(path) as one:
            picture.paste(one.convert("RGB").resize((SIDE, SIDE)), (i % columns * SIDE, i // columns * SIDE))
    picture.save(out / "sheet.png")


def denoising_loss(faces, model):
    import torch
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    parts = [(AutoencoderKL, "vae"), (UNet2DConditionModel, "unet"), (CLIPTextModel, "text_encoder")]
    vae, unet, text = (kind.from_pretrained(model, subfolder=folder, torch_dtype=torch.float32).eval() for kind, folder in parts)
    tokenizer = CLIPTokenizer.from_pretrained(model, subfolder="tokenizer")
    scheduler = DDPMScheduler.from_pretrained(model, subfolder="scheduler")
    rows = [json.loads(line) for line in open(faces / "held-out/metadata.jsonl")][::3]
    random, losses = torch.Generator().manual_seed(7), []
    with torch.no_grad():
        for first in range(0, len(rows), 32):
            some = rows[first:first + 32]
            pictures = [Image.open(faces / "held-out" / row["file_name"]).resize((SIDE, SIDE), Image.LANCZOS) for row in some]
            pixels = torch.tensor(np.stack([np.asarray(p, np.float32) / 127.5 - 1 for p in pictures])).permute(0, 3, 1, 2)
            latents = vae.encode(pixels).latent_dist.mode() * vae.config.scaling_factor
            ids = tokenizer([row["text"] for row in some], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
            context = text(ids)[0]
            for timestep in range(50, 1000, 100):
                noise = torch.randn(latents.shape, generator=random)
                at = torch.full((len(some),), timestep)
                noisy = scheduler.add_noise(latents, noise, at)
                predicted = unet(noisy, at, context).sample
                if scheduler.config.prediction_type == "v_prediction":
                    share = scheduler.alphas_cumprod[timestep]
                    predicted = share.sqrt() * predicted + (1 - share).sqrt() * noisy
                losses.append(float(((predicted - noise) ** 2).mean()) * len(some))
    return sum(losses) / len(rows) / 10


def main(faces, tronie, out, model=None):
    out.mkdir(parents=True, exist_ok=True)
    probes, real = probe(faces)
    paths = generate(tronie, model, out)
    sheet(paths, out)
    figures = {}
    for attribute, model_of in probes.items():
        asked = [(path, wanted[attribute]) for path, (_, wanted) in zip(paths, prompts()) if attribute in wanted]
        found = model_of.predict(np.stack([features(path) for path, _ in asked]))
        generated = balanced_accuracy_score([wanted for _, wanted in asked], found)
        accuracy, n = real[attribute]
        figures[attribute] = {"held_out": round(accuracy, 3), "n_held_out": n, "generated": round(generated, 3),
                              "n_generated": len(asked), "share": round(generated / accuracy, 3)}
    figures["mean_share"] = round(float(np.mean([row["share"] for row in figures.values()])), 3)
    if model:
        figures["held_out_denoising_loss"] = round(denoising_loss(faces, model), 4)
    (out / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
