"""Seconds per guided step and peak memory of diffusers on a full-size SD1.5 UNet, beside tronie in the same run.

usage: bench_sd15.py TRONIE_PROGRAM [steps]

Both run the same shape, 512x512, f32 arithmetic, random weights, guidance 7 (batch of 2), on the threads this machine has. tronie's
weights are stored as f16; diffusers computes and stores f32. Prints one table row for BENCHMARKS.md.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHILD = "--diffusers-child"


def build(folder):
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        sample_size=64, in_channels=4, out_channels=4, layers_per_block=2, block_out_channels=(320, 640, 1280, 1280),
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3, cross_attention_dim=768, attention_head_dim=8,
    )
    vae = AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(128, 256, 512, 512), layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4, sample_size=512,
    )
    text = CLIPTextModel(CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12, projection_dim=768,
    ))
    for part in (unet, vae, text):
        part.half()
    unet.save_pretrained(folder / "unet")
    vae.save_pretrained(folder / "vae")
    text.save_pretrained(folder / "text_encoder")
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1,
    )
    scheduler.save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionPipeline", "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"], "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))


def diffusers_child(folder, steps):
    import torch
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    x, context = torch.randn(2, 4, 64, 64), torch.randn(2, 77, 768)
    times = []
    with torch.no_grad():
        for step in range(steps):
            start = time.time()
            unet(x, 500 - step, context)
            times.append(time.time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": min(times), "peak_gb": peak}))


def difference(command, steps):
    """Seconds per step from the difference of two runs, so that loading drops out; peak in GB of the longer.

    command: number of steps -> arguments of a process that takes so many.
    """
    seconds, peak = [], 0.0
    for n in (1, 1 + steps):
        start = time.time()
        process = subprocess.Popen(command(n), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0, status
        seconds.append(time.time() - start)
        peak = usage.ru_maxrss / 1e6
    return (seconds[1] - seconds[0]) / steps, peak


def compare(script, work, ours, arguments):
    """Prints a table row: the reference in a process of its own, then tronie.

    ours: (program, model folder, steps) -> (seconds, GB).
    """
    program, steps = Path(arguments[0]).resolve(), int(arguments[1]) if len(arguments) > 1 else 3
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        build(folder)
        child = [sys.executable, script, CHILD, str(folder), str(steps)]
        theirs = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
        seconds, peak = ours(str(program), folder, steps)
        print(f"| {work} | {seconds:.2f} s | {theirs['seconds']:.2f} s | {seconds / theirs['seconds']:.2f} "
              f"| {peak:.2f} GB (whole program) | {theirs['peak_gb']:.2f} GB (UNet alone) | {peak / theirs['peak_gb']:.2f} |")


def tronie_run(program, folder, steps):
    out = tempfile.mkdtemp()

    def command(n):
        return [program, "generate", "a photo of a face", "--model", str(folder), "--steps", str(n), "--cfg", "7", "--size", "512x512",
                "--sampler", "euler", "--seed", "1", "-o", out, "--quiet"]

    return difference(command, steps)


def main():
    if sys.argv[1] == CHILD:
        diffusers_child(Path(sys.argv[2]), int(sys.argv[3]))
        return
    compare(__file__, "SD1.5 512x512 guided step", tronie_run, sys.argv[1:])


if __name__ == "__main__":
    main()
