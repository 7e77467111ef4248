"""Goldens of LoRAs in use: testdata/pipeline/sd15_lora*, from diffusers and PEFT in float32 on the CPU.

The sd15-shaped pipeline of pipeline.py with a LoRA of drawn values on linear layers and convolutions of the UNet and on the text
encoder, whose strength differs between the two: the file that `save_lora_weights` writes, and the picture the pipeline makes
once `load_lora_weights` has read that file.

    python reference/lora.py TOKENIZER_FOLDER
"""

import numpy as np
import torch
from peft import LoraConfig, get_peft_model_state_dict

import golden
import pipeline

FOLDER = golden.TESTDATA / "pipeline"
FILE = "sd15_lora_weights.safetensors"
TARGETS = {
    "unet": (dict(r=3, lora_alpha=6), ["attn1.to_q", "attn2.to_v", "to_out.0", "proj_in", "ff.net.2", "conv1", "conv_shortcut", "time_embedding.linear_1"]),
    "text_encoder": (dict(r=2, lora_alpha=1), ["q_proj", "out_proj", "fc2"]),
}
STRENGTHS = {"text_encoder": 0.5, "unet": 0.8}


def save(pipe):
    """Writes the LoRA; its values are small enough that the picture stays one."""
    generator = torch.Generator().manual_seed(pipeline.SEED)
    layers, metadata = {}, {}
    for part, (scale, targets) in TARGETS.items():
        network = getattr(pipe, part)
        network.add_adapter(LoraConfig(**scale, target_modules=targets))
        shapes = {name: value.shape for name, value in get_peft_model_state_dict(network).items()}
        layers[part] = {name: (torch.randn(shape, generator=generator) * 0.15).half() for name, shape in shapes.items()}
        config = network.peft_config["default"].to_dict()
        metadata[part] = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
        print(part, len(layers[part]) // 2, "modules")
    pipe.save_lora_weights(
        FOLDER, unet_lora_layers=layers["unet"], text_encoder_lora_layers=layers["text_encoder"], weight_name=FILE,
        unet_lora_adapter_metadata=metadata["unet"], text_encoder_lora_adapter_metadata=metadata["text_encoder"],
    )


def picture(strengths):
    pipe = pipeline.sd15()
    pipe.set_progress_bar_config(disable=True)
    if strengths:
        pipe.load_lora_weights(FOLDER, weight_name=FILE, adapter_name="drawn")
        pipe.set_adapters("drawn", adapter_weights=strengths)
    return np.asarray(pipe(
        pipeline.PROMPT, negative_prompt=pipeline.NEGATIVE, height=pipeline.SIZE, width=pipeline.SIZE,
        num_inference_steps=pipeline.STEPS, guidance_scale=7.5, generator=torch.Generator("cpu").manual_seed(pipeline.SEED),
    ).images[0])


if __name__ == "__main__":
    save(pipeline.sd15())
    plain, pixels = picture(None), picture(STRENGTHS)
    halved = picture(STRENGTHS | {"text_encoder": 0.0})
    for name, other in (("without the LoRA", plain), ("without it on the text", halved)):
        print(name, "mean difference", np.abs(pixels.astype(int) - other.astype(int)).mean())
    golden.record(FOLDER / FILE, seed=pipeline.SEED, tolerance=0.0, note="a LoRA of drawn values for the sd15-shaped pipeline")
    golden.save("pipeline", "sd15_lora", {"pixels": pixels}, seed=pipeline.SEED, tolerance=1e-6,
                note="64x64 pixels of the sd15-shaped pipeline with it, text 0.5, UNet 0.8; at least 60 dB")
