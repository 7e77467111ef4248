"""Seconds per LoRA step and peak memory of diffusers with PEFT on a full-size SD1.5 UNet, beside tronie in the same run.

usage: bench_lora.py TRONIE_PROGRAM [steps]

Both train the same rank-8 changes (all layers of the UNet's transformers) at 512x512, batch 1, f32 arithmetic, AdamW, random
weights, on the threads this machine has, without gradient checkpointing. Prints one table row for BENCHMARKS.md.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from bench_sd15 import CHILD, compare, difference

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]
RECIPE = """model = "{model}"
n_steps = {steps}
size_px = [512, 512]
[[images]]
folder = "pictures"
caption = "a photo of a face"
[lora]
rank = 8
[checkpoints]
every = 1000
"""


def diffusers_child(folder, steps):
    import torch
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig

    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32)
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=8, lora_alpha=8, target_modules=TARGETS))
    trained = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    x, noise, context = torch.randn(1, 4, 64, 64), torch.randn(1, 4, 64, 64), torch.randn(1, 77, 768)
    times = []
    for step in range(steps):
        start = time.time()
        loss = torch.nn.functional.mse_loss(unet(x, 500 - step, context).sample, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(time.time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"seconds": min(times), "peak_gb": peak}))


def tronie_run(program, folder, steps):
    from PIL import Image

    work = Path(tempfile.mkdtemp())
    (work / "pictures").mkdir()
    Image.new("RGB", (512, 512), (120, 90, 60)).save(work / "pictures" / "a.png")

    def command(n):
        recipe = work / f"{n}.toml"
        recipe.write_text(RECIPE.format(model=folder, steps=n))
        return [program, "train", "lora", str(recipe), "-o", str(work / f"run{n}"), "--quiet"]

    return difference(command, steps)


def main():
    if sys.argv[1] == CHILD:
        diffusers_child(Path(sys.argv[2]), int(sys.argv[3]))
        return
    compare(__file__, "SD1.5 512x512 LoRA step, rank 8, batch 1", tronie_run, sys.argv[1:])


if __name__ == "__main__":
    main()
