"""Goldens of CLIP's image tower and of IP-Adapters: testdata/clip/vision*, testdata/pipeline/ip_adapters.json and *_ip_*.

Small image towers with the weights of golden_weights.py, run by transformers, and what its processor makes of pictures that are
formulas. Whole pipelines of diffusers with such a tower and adapters of every kind that take pictures, on the checkpoints of
pipeline.py; files are described by the shapes of their tensors in the published names.

    python reference/ip_adapter.py TOKENIZER_FOLDER
"""

import json

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.numpy import load_file
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

import golden
import pipeline as plain
from control_pipeline import picture
from golden_weights import fill, inputs, weight
from PIL import Image

torch.set_num_threads(1)

SIDE = 32  # pixels of a tower's pictures
TOWERS = {"quick_gelu": dict(hidden_act="quick_gelu"), "gelu": dict(hidden_act="gelu")}
QUERIES, RESAMPLED = 3, 32


def tower(**differences):
    config = CLIPVisionConfig(
        hidden_size=24, intermediate_size=40, projection_dim=20, num_hidden_layers=3, num_attention_heads=4, image_size=SIDE, patch_size=8,
        **differences,
    )
    return fill(CLIPVisionModelWithProjection(config).eval())


def processor():
    return CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIDE)


def towers():
    tensors = {}
    pixels = inputs("pixels", (2, 3, SIDE, SIDE))
    for name, differences in TOWERS.items():
        with torch.no_grad():
            out = tower(**differences)(pixels, output_hidden_states=True)
        tensors[f"{name}.embedding"] = out.image_embeds
        for from_end in range(1, len(out.hidden_states) + 1):
            tensors[f"{name}.hidden_{from_end}"] = out.hidden_states[-from_end]
    golden.save("clip", "vision", tensors, seed=None, tolerance=1e-4, note="every hidden state and the vector of small image towers")


def formula(width, height):
    y, x = np.mgrid[:height, :width]
    rgb = np.stack([4 * x % 256, 7 * y % 256, x * y // 16 % 256], axis=-1)
    return Image.fromarray(rgb.astype(np.uint8))


def pixel_values():
    sizes = [(97, 61), (50, 131), (32, 32), (20, 33)]
    tensors = {f"{w}x{h}": processor()(formula(w, h), return_tensors="np").pixel_values for w, h in sizes}
    golden.save("clip", "vision_pixels", tensors, seed=None, tolerance=0.016,
                note="CLIPImageProcessor of pictures at 32 pixels; one level of 255 is 0.015")


def layers(unet):
    """Shapes of the keys and values, numbered as the published files number them."""
    found = {}
    for number, (name, processor_) in enumerate(unet.attn_processors.items()):
        if name.endswith("attn2.processor"):
            module = unet.get_submodule(name.removesuffix(".processor"))
            for own, theirs in (("to_k_ip", module.to_k), ("to_v_ip", module.to_v)):
                found[f"ip_adapter.{number}.{own}.weight"] = list(theirs.weight.shape)
    return found


def projection(kind, d_context):
    encoder = tower().config
    d, d_embedding = encoder.hidden_size, encoder.projection_dim
    norm = lambda name, width: {f"{name}.weight": [width], f"{name}.bias": [width]}  # noqa: E731
    linear = lambda name, c_in, c_out: {f"{name}.weight": [c_out, c_in], f"{name}.bias": [c_out]}  # noqa: E731
    if kind == "plain":
        rows = linear("proj", d_embedding, 4 * d_context) | norm("norm", d_context)
    elif kind == "full":
        rows = linear("proj.0", d, d) | linear("proj.2", d, d_context) | norm("proj.3", d_context)
    else:
        rows = {"latents": [1, QUERIES, RESAMPLED]} | linear("proj_in", d, RESAMPLED) | linear("proj_out", RESAMPLED, d_context)
        rows |= norm("norm_out", d_context)
        for layer in range(4):
            at = f"layers.{layer}"
            rows |= norm(f"{at}.0.norm1", RESAMPLED) | norm(f"{at}.0.norm2", RESAMPLED) | norm(f"{at}.1.0", RESAMPLED)
            rows |= {f"{at}.0.to_q.weight": [64, RESAMPLED], f"{at}.0.to_kv.weight": [128, RESAMPLED], f"{at}.0.to_out.weight": [RESAMPLED, 64]}
            rows |= {f"{at}.1.1.weight": [4 * RESAMPLED, RESAMPLED], f"{at}.1.3.weight": [RESAMPLED, 4 * RESAMPLED]}
    return {f"image_proj.{name}": shape for name, shape in rows.items()}


def adapter(kind, unet):
    return projection(kind, unet.config.cross_attention_dim) | layers(unet)


def state(shapes):
    """The two dictionaries of a published file."""
    halves = {"image_proj": {}, "ip_adapter": {}}
    for name, shape in shapes.items():
        half, _, rest = name.partition(".")
        halves[half][rest] = weight(name, tuple(shape))
    return halves


def write(name, base, units, scale):
    """units: (kind, the picture's factor, weight)."""
    checkpoint = {"sd15": plain.sd15, "sdxl": plain.sdxl}[base]()
    parts = dict(checkpoint.components) | {"image_encoder": tower(), "feature_extractor": processor()}
    cls = type(checkpoint)
    pipe = cls(**parts, **(dict(add_watermarker=False) if cls is StableDiffusionXLPipeline else dict(requires_safety_checker=False)))
    pipe.set_progress_bar_config(disable=True)
    shapes = [adapter(kind, pipe.unet) for kind, _, _ in units]
    pipe.load_ip_adapter([state(rows) for rows in shapes], subfolder=[""] * len(units), weight_name=[""] * len(units))
    pipe.set_ip_adapter_scale([weight_ for _, _, weight_ in units])
    made = pipe(
        plain.PROMPT, negative_prompt=plain.NEGATIVE, height=plain.SIZE, width=plain.SIZE, num_inference_steps=plain.STEPS,
        guidance_scale=scale, ip_adapter_image=[picture(factor) for _, factor, _ in units], generator=torch.Generator("cpu").manual_seed(plain.SEED),
    ).images[0]
    pixels = np.asarray(made)
    without = load_file(golden.TESTDATA / "pipeline" / f"{base}.safetensors")["pixels"]
    print(name, "differs from the plain picture by", np.abs(pixels.astype(float) - without).mean())
    golden.save("pipeline", name, {"pixels": pixels}, seed=plain.SEED, tolerance=1e-6,
                note=f"64x64 pixels of the {base}-shaped pipeline with IP-Adapters; at least 60 dB")
    return {f"{base}_{kind}": rows for (kind, _, _), rows in zip(units, shapes)}


if __name__ == "__main__":
    towers()
    pixel_values()
    files = write("sd15_ip_plain", "sd15", [("plain", 4, 0.6)], 7.5)
    files |= write("sd15_ip_full", "sd15", [("full", 4, 0.8)], 7.5)
    files |= write("sd15_ip_two", "sd15", [("plus", 4, 0.7), ("plain", 7, 0.4)], 7.5)
    files |= write("sdxl_ip_plus", "sdxl", [("plus", 4, 0.8)], 5.0)
    encoder = tower()
    files["encoder"] = {name: list(value.shape) for name, value in encoder.named_parameters()}
    files["config"] = json.loads(encoder.config.to_json_string())
    path = golden.TESTDATA / "pipeline" / "ip_adapters.json"
    path.write_text(json.dumps(files, separators=(",", ":")))
    golden.record(path, seed=None, tolerance=0.0, note="tensor shapes of IP-Adapters, and of a small image encoder with its configuration")
