"""Goldens of training: testdata/training/. Ten steps of full, low-rank and text training of small UNets, in float32 on PyTorch.

Weights and inputs follow golden_weights.py. Kept are the losses of all steps, every gradient of the first step as its norm and its
largest value's share (all tensors) and in full (some), and some weights after the last step.

    python reference/finetune.py
"""

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig

import golden
import unet as unets
from golden_weights import fill, inputs, weight

torch.set_num_threads(1)

STEPS = 10
BATCH = 2
LR = 1e-3
RANK, ALPHA = 4, 2.0
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1"]
TRAINING = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)
FAMILIES = {
    # name: configuration, prediction, sizes of the image SDXL is told
    "sd15": (unets.BASE, "epsilon", None),
    "sd21_v": (unets.SD2, "v_prediction", None),
    "sdxl": (unets.SDXL, "epsilon", [64, 48, 0, 8, 64, 64]),
}


def batch(unet, step, sizes):
    """Latents, noise, timesteps and conditioning of one step."""
    latents, noise = inputs(f"latents.{step}", (BATCH, 4, 8, 8)), inputs(f"noise.{step}", (BATCH, 4, 8, 8))
    timesteps = torch.tensor([(97 * step + 31 + 443 * item) % 1000 for item in range(BATCH)])
    arguments = {"encoder_hidden_states": inputs(f"context.{step}", (BATCH, 5, unet.config.cross_attention_dim))}
    if sizes:
        ids = torch.tensor([sizes] * BATCH, dtype=torch.float32)
        arguments["added_cond_kwargs"] = {"text_embeds": inputs(f"pooled.{step}", (BATCH, 20)), "time_ids": ids}
    return latents, noise, timesteps, arguments


def loss_of(unet, scheduler, step, sizes):
    latents, noise, timesteps, arguments = batch(unet, step, sizes)
    predicted = unet(scheduler.add_noise(latents, noise, timesteps), timesteps, **arguments).sample
    is_v = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, timesteps) if is_v else noise
    return torch.nn.functional.mse_loss(predicted, target)


def train(unet, scheduler, sizes):
    """Losses, gradients of the first step and final values of everything that is trained."""
    trained = {name: value for name, value in unet.named_parameters() if value.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=LR, weight_decay=1e-2)
    losses, gradients = [], {}
    for step in range(STEPS):
        loss = loss_of(unet, scheduler, step, sizes)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradients = {name: value.grad.clone() for name, value in trained.items()}
        optimizer.step()
        losses.append(loss.item())
    return losses, gradients, {name: value.detach() for name, value in trained.items()}


def plain(name):
    """PEFT's name of a low-rank matrix as ours."""
    return name.replace(".lora_A.default.weight", ".lora_down").replace(".lora_B.default.weight", ".lora_up").replace(".base_layer", "")


def stored(losses, gradients, final):
    names = sorted(gradients, key=plain)
    some = names[:: max(1, len(names) // 12)]
    tensors = {"losses": torch.tensor(losses), "norms": torch.stack([gradients[name].norm() for name in names])}
    for name in some:
        if gradients[name].numel() <= 4096:
            tensors[f"gradient.{plain(name)}"] = gradients[name]
            tensors[f"final.{plain(name)}"] = final[name]
    return tensors


def main():
    for name, (config, prediction, sizes) in FAMILIES.items():
        scheduler = DDPMScheduler(**TRAINING, prediction_type=prediction)
        unet = fill(UNet2DConditionModel(**config))
        golden.save("training", f"full_{name}", stored(*train(unet, scheduler, sizes)), seed=None, tolerance=1e-4,
                    note=f"{STEPS} AdamW steps on all weights of a {name}-shaped UNet; norms in the order of sorted names")
        unet = fill(UNet2DConditionModel(**config))
        unet.requires_grad_(False)
        unet.add_adapter(LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=TARGETS))
        with torch.no_grad():
            for key, value in unet.named_parameters():
                if value.requires_grad:
                    value.copy_(0.1 * weight(plain(key), tuple(value.shape)))
        golden.save("training", f"lora_{name}", stored(*train(unet, scheduler, sizes)), seed=None, tolerance=1e-4,
                    note=f"{STEPS} AdamW steps on rank-{RANK} changes of a {name}-shaped UNet; norms in the order of sorted names")


if __name__ == "__main__":
    main()
