"""Goldens of tronie-train: optimizers, learning-rate schedules, objectives, moving averages, gradient clipping.

    python reference/training.py

Parameters and noise follow golden_weights.py. A gradient is the parameter itself plus a tenth of noise, so that the
optimizers descend towards 0 and Prodigy finds a distance. Big tensors are stored as every 37th value.
"""

import sys

import bitsandbytes.functional
import diffusers  # noqa: F401  (its version goes into the manifest)
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel, compute_snr
from prodigyopt import Prodigy
from transformers.optimization import Adafactor

import golden
from golden_weights import inputs, weight

torch.set_num_threads(1)

N_STEPS, STRIDE = 20, 37
SHAPES = {"proj.bias": (24,), "proj.weight": (72, 64), "conv.weight": (6, 5, 3, 3)}


def kept(values):
    values = values.flatten()
    return values if len(values) < 100 else values[::STRIDE]


# ---- optimizers


class Lion(torch.optim.Optimizer):
    """Algorithm 2 of Chen et al. 2023 (arXiv:2302.06675), line by line."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                c = beta1 * m + (1 - beta1) * p.grad
                p -= group["lr"] * (torch.sign(c) + group["weight_decay"] * p)
                m.copy_(beta2 * m + (1 - beta2) * p.grad)


def warm(step):
    return min(1.0, step / 4)


def late(step):
    return min(1.0, (step - 1) / 4)


def constant(step):
    return 1.0


# name: (constructor, factor of the learning rate at a step counted from 1)
OPTIMIZERS = {
    "adamw": (lambda p: torch.optim.AdamW(p, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05), warm),
    "lion": (lambda p: Lion(p, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1), warm),
    "adafactor": (lambda p: Adafactor(p), constant),
    "adafactor_manual": (
        lambda p: Adafactor(
            p, lr=1e-2, scale_parameter=False, relative_step=False, beta1=0.9, weight_decay=0.01, clip_threshold=0.8
        ),
        warm,
    ),
    "prodigy": (lambda p: Prodigy(p), constant),
    "prodigy_guarded": (
        lambda p: Prodigy(
            p,
            weight_decay=0.01,
            use_bias_correction=True,
            safeguard_warmup=True,
            d_coef=2.0,
            growth_rate=1.02,
            d0=1e-3,
        ),
        late,
    ),
    "prodigy_coupled": (lambda p: Prodigy(p, lr=0.5, weight_decay=0.01, decouple=False, beta3=0.9, d0=1e-4), warm),
}


def optimizers():
    tensors = {}
    for name, (make, factor) in OPTIMIZERS.items():
        parameters = {key: torch.nn.Parameter(weight(key, shape)) for key, shape in SHAPES.items()}
        optimizer = make(list(parameters.values()))
        base = optimizer.param_groups[0]["lr"]
        distances = []
        for step in range(1, N_STEPS + 1):
            for key, parameter in parameters.items():
                parameter.grad = parameter.detach() + 0.1 * inputs(f"{key}.{step}", SHAPES[key])
            if base is not None:
                optimizer.param_groups[0]["lr"] = base * factor(step)
            optimizer.step()
            distances.append(optimizer.param_groups[0].get("d"))
            if step in (2, N_STEPS):
                for key, parameter in parameters.items():
                    tensors[f"{name}/{key}/{step}"] = kept(parameter.detach()).clone()
        if name.startswith("prodigy"):
            tensors[f"{name}/d"] = torch.tensor(distances, dtype=torch.float64)
    for name, signed in (("signed", True), ("unsigned", False)):
        tensors[f"dynamic_map/{name}"] = bitsandbytes.functional.create_dynamic_map(signed=signed)
    return tensors


# ---- learning rates, moving averages, clipping


def schedules():
    tensors = {}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    for name in ("constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"):
        for n_warmup in (0, 7):
            scheduler = get_scheduler(name, optimizer, num_warmup_steps=n_warmup, num_training_steps=50, num_cycles=3, power=2.0)
            factors = [float(scheduler.lr_lambdas[0](step)) for step in range(54)]
            tensors[f"{name}/{n_warmup}"] = torch.tensor(factors, dtype=torch.float64)
    return tensors


EMAS = {
    "plain": dict(),
    "warm": dict(use_ema_warmup=True, inv_gamma=2.0, power=0.75, decay=0.7, min_decay=0.2, update_after_step=3),
}


def steadying():
    tensors = {}
    for name, options in EMAS.items():
        parameter = torch.nn.Parameter(inputs("ema.0", (40,)))
        ema = EMAModel([parameter], **options)
        decays = []
        for step in range(1, 16):
            parameter.data.copy_(inputs(f"ema.{step}", (40,)))
            ema.step([parameter])
            decays.append(ema.cur_decay_value)
        tensors[f"ema/{name}/decays"] = torch.tensor(decays, dtype=torch.float64)
        tensors[f"ema/{name}/average"] = ema.shadow_params[0].detach()
    for max_norm in (1.0, 1000.0):
        parameters = [torch.nn.Parameter(torch.zeros(shape)) for shape in SHAPES.values()]
        for (key, shape), parameter in zip(SHAPES.items(), parameters):
            parameter.grad = inputs(key, shape)
        norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
        tensors[f"clip/{max_norm:g}/norm"] = norm.reshape(1)
        tensors[f"clip/{max_norm:g}/proj.bias"] = parameters[0].grad
    return tensors


# ---- objectives

BETAS = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
BATCH, TIMESTEPS, GAMMA = (3, 4, 8, 6), torch.tensor([3, 480, 998]), 5.0


def objectives():
    latents, noise = inputs("latents", BATCH), inputs("noise", BATCH)
    mask = inputs("mask", (3, 1, 8, 6)).abs().clamp(max=1)
    tensors = {"timesteps": TIMESTEPS}
    for name, options in (("plain", {}), ("zero_snr", dict(rescale_betas_zero_snr=True))):
        scheduler = DDPMScheduler(**BETAS, **options)
        tensors[f"{name}/noisy"] = scheduler.add_noise(latents, noise, TIMESTEPS)
        tensors[f"{name}/velocity"] = scheduler.get_velocity(latents, noise, TIMESTEPS)
        snr = compute_snr(scheduler, TIMESTEPS)
        tensors[f"{name}/snr"] = snr
        clamped = torch.stack([snr, GAMMA * torch.ones_like(snr)], dim=1).min(dim=1)[0]
        for prediction_type in ("epsilon", "v_prediction"):
            is_v = prediction_type == "v_prediction"
            target = tensors[f"{name}/velocity"] if is_v else noise
            weights = clamped / (snr + 1 if is_v else snr)
            tensors[f"{name}/{prediction_type}/weights"] = weights
            for masked in (False, True):
                prediction = inputs("prediction", BATCH).requires_grad_()
                loss = F.mse_loss(prediction, target, reduction="none")
                loss = (loss * mask if masked else loss).mean(dim=[1, 2, 3])
                loss = (loss * weights).mean()
                loss.backward()
                key = f"{name}/{prediction_type}/" + ("masked" if masked else "whole")
                tensors[f"{key}/loss"] = loss.detach().reshape(1)
                tensors[f"{key}/gradient"] = prediction.grad
    tensors["offset"] = noise + 0.1 * inputs("offsets", (3, 4, 1, 1))
    # Pyramid noise: octave i is 1 / ratio^i as large, stretched bilinearly, and discount^i as strong.
    height, width = 24, 16
    sum_, sizes = inputs("pyramid", (2, 4, height, width)), []
    for i, ratio in enumerate((3.0, 2.5, 2.1, 2.0, 2.3, 2.0)):
        size = max(1, int(height / ratio**i)), max(1, int(width / ratio**i))
        octave = inputs(f"octave.{i}", (2, 4, *size))
        sum_ = sum_ + torch.nn.Upsample(size=(height, width), mode="bilinear")(octave) * 0.4**i
        sizes.append(size)
        if 1 in size:
            break
    tensors["pyramid"] = kept(sum_ / sum_.std())
    tensors["pyramid_sizes"] = torch.tensor(sizes)
    return tensors


if __name__ == "__main__":
    sys.argv[0] = __file__
    notes = {
        optimizers: "parameters after 2 and 20 steps of each optimizer, Prodigy's distances, 8-bit dynamic maps",
        schedules: "factors of the learning rate for 54 of 50 steps, from diffusers.optimization",
        steadying: "moving averages of diffusers' EMAModel and gradients clipped by torch",
        objectives: "noisy latents, targets, weights, losses and their gradients, from diffusers' DDPMScheduler",
    }
    for write, note in notes.items():
        golden.save("training", write.__name__, write(), seed=None, tolerance=1e-6, note=note)
