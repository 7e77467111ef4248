"""Sampler trajectories and schedules of k-diffusion and diffusers, on a small nonlinear network.

Each case is named "profile/sampler/schedule/steps/prediction[/option=value]" and holds every input the network was
called with, the timesteps it was told, and the final sample. The test computes the same network.
"""

import math
import sys
import warnings

import diffusers
import k_diffusion
import numpy as np
import scipy.stats
import torch

import golden

warnings.filterwarnings("ignore")
diffusers.logging.set_verbosity_error()
torch.set_num_threads(1)

SHAPE = (2, 4, 2, 2)
SEED = 1234
BETAS = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
ALPHAS = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, dim=0)
TENSORS = {}


class Network:
    """Elementwise, nonlinear in x, smooth in t; remembers how it was called."""

    def __init__(self):
        self.inputs, self.timesteps = [], []

    def __call__(self, x, t, **kwargs):
        t = torch.as_tensor(t, dtype=torch.float64).reshape(-1)[0].item()
        self.inputs.append(x.clone())
        self.timesteps.append(t)
        return 0.8 * x + 0.3 * torch.tanh(2 * x + 1.5 * t / 1000 - 0.5)

    def save(self, name, final):
        if name + "#final" in TENSORS:
            raise ValueError(f"two cases {name}")
        TENSORS[name + "#inputs"] = torch.stack(self.inputs).to(torch.float32)
        TENSORS[name + "#timesteps"] = torch.tensor(self.timesteps, dtype=torch.float64)
        TENSORS[name + "#final"] = final.to(torch.float32)


# --- k-diffusion, as A1111 and ComfyUI run it


class VDenoiser(k_diffusion.external.DiscreteEpsDDPMDenoiser):
    def forward(self, input, sigma, **kwargs):
        sigma = sigma.reshape(-1, 1, 1, 1)
        v = self.get_eps(input / (sigma**2 + 1) ** 0.5, self.sigma_to_t(sigma.reshape(-1)))
        return input / (sigma**2 + 1) - v * sigma / (sigma**2 + 1) ** 0.5


class PerImage:
    """One torch generator per image, as A1111's ImageRNG with the CPU source."""

    def __init__(self):
        self.generators = [torch.Generator().manual_seed(SEED + i) for i in range(SHAPE[0])]

    def __call__(self, *_):
        return torch.stack([torch.randn(SHAPE[1:], generator=g) for g in self.generators])


class WholeBatch:
    """One torch generator for all images; ComfyUI's samplers seed theirs anew with seed + 1."""

    def __init__(self, seed):
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *_):
        return torch.randn(SHAPE, generator=self.generator)


def k_sigmas(model, schedule, n):
    """In f64, rounded to f32 at the end: what the Brownian noise of the SDE samplers is asked for is a rough path."""
    model = k_diffusion.external.DiscreteSchedule(model.sigmas.double(), False)
    model.t_to_sigma = lambda t: f64_t_to_sigma(model, t)
    torch.set_default_dtype(torch.float64)
    sigmas = f64_sigmas(model, schedule, n)
    torch.set_default_dtype(torch.float32)
    return sigmas.float()


def f64_t_to_sigma(model, t):
    low, high, w = t.floor().long(), t.ceil().long(), t.frac()
    return ((1 - w) * model.log_sigmas[low] + w * model.log_sigmas[high]).exp()


class RoundedLevels:
    """Brownian noise that rounds levels to f32, whatever precision they were computed in."""

    def __init__(self, noise):
        self.noise = noise

    def __call__(self, sigma, sigma_next):
        return self.noise(torch.as_tensor(sigma).float(), torch.as_tensor(sigma_next).float())


def f64_sigmas(model, schedule, n):
    low, high = model.sigma_min.item(), model.sigma_max.item()
    sampling = k_diffusion.sampling
    if schedule == "automatic":
        return model.get_sigmas(n)
    if schedule == "normal":
        return model.get_sigmas(n)
    if schedule == "karras":
        return sampling.get_sigmas_karras(n, low, high)
    if schedule == "exponential":
        return sampling.get_sigmas_exponential(n, low, high)
    if schedule == "polyexponential":
        return sampling.get_sigmas_polyexponential(n, low, high)
    raise ValueError(schedule)


def restart(model, x, sigmas, noise):
    """Restart sampling out of k-diffusion's own Heun: down, noise, and the last stretch again."""
    sampling = k_diffusion.sampling
    n = len(sigmas) - 1
    again, times = (9, 1) if n < 36 else (n // 4, 2)
    levels = sampling.get_sigmas_karras(n - again * times, sigmas[-2].item(), sigmas[0].item())
    turn = (levels[:-1] - 0.1).abs().argmin().item()
    top = (levels[:-1] - 2.0).abs().argmin().item()
    stretch = sampling.get_sigmas_karras(again + 1, levels[turn].item(), levels[top].item())[:-1]
    x = sampling.sample_heun(model, x, levels[: turn + 1], disable=True)
    for _ in range(times):
        x = x + noise() * (stretch[0] ** 2 - levels[turn] ** 2) ** 0.5
        x = sampling.sample_heun(model, x, stretch, disable=True)
    return sampling.sample_heun(model, x, levels[turn:], disable=True)


def k_case(sampler, schedule, n, prediction="eps", profile="a1111", **options):
    network = Network()
    quantize = profile == "comfy"
    denoiser = k_diffusion.external.DiscreteEpsDDPMDenoiser if prediction == "eps" else VDenoiser
    model = denoiser(network, ALPHAS, quantize)
    discard = {"a1111": ["dpm_2", "dpm_2_ancestral", "dpmpp_3m_sde"], "comfy": ["dpm_2", "dpm_2_ancestral"]}
    if sampler in discard[profile]:
        sigmas = k_sigmas(model, schedule, n + 1)
        sigmas = torch.cat([sigmas[:-2], sigmas[-1:]])
    else:
        sigmas = k_sigmas(model, schedule, n)
    if profile == "a1111":
        noise = PerImage()
        x = noise() * sigmas[0]
        seeds = [SEED + i for i in range(SHAPE[0])]
    else:
        x = WholeBatch(SEED)() * (1 + sigmas[0] ** 2) ** 0.5
        noise = WholeBatch(SEED + 1)
        seeds = SEED
    low, high = sigmas[sigmas > 0].min(), sigmas.max()
    sampling = k_diffusion.sampling
    function = {"dpm_fast": "sample_dpm_fast", "dpm_adaptive": "sample_dpm_adaptive"}.get(sampler)
    arguments = dict(disable=True, **options)
    if sampler.endswith("_sde") or sampler.endswith("_sde_heun"):
        arguments["noise_sampler"] = RoundedLevels(sampling.BrownianTreeNoiseSampler(x, low, high, seed=seeds))
        sigmas = sigmas.double()
        if sampler == "dpmpp_2m_sde_heun":
            arguments["solver_type"] = "heun"
    elif sampler.endswith("ancestral") or "eta" in options:
        arguments["noise_sampler"] = noise
    sampling.torch.randn_like, original = (lambda _: noise()) if "s_churn" in options else torch.randn_like, torch.randn_like
    if sampler == "restart":
        final = restart(model, x, sigmas, noise)
    elif sampler == "dpm_fast":
        final = sampling.sample_dpm_fast(model, x, low, high, n, **arguments)
    elif sampler == "dpm_adaptive":
        final = sampling.sample_dpm_adaptive(model, x, low, high, **arguments)
    else:
        final = getattr(sampling, "sample_" + sampler.removesuffix("_heun"))(model, x, sigmas, **arguments)
    sampling.torch.randn_like = original
    extra = "".join(f"/{key}={value}" for key, value in options.items())
    network.save(f"{profile}/{sampler}/{schedule}/{n}/{prediction}{extra}", final)


# --- diffusers

SCHEDULERS = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "dpm_2": ("KDPM2DiscreteScheduler", {}),
    "dpm_2_ancestral": ("KDPM2AncestralDiscreteScheduler", {}),
    "dpmpp_sde": ("DPMSolverSDEScheduler", dict(noise_sampler_seed=SEED)),
    "ddim": ("DDIMScheduler", dict(clip_sample=False, set_alpha_to_one=False)),
    "ddpm": ("DDPMScheduler", dict(clip_sample=False)),
    "pndm": ("PNDMScheduler", dict(skip_prk_steps=False)),
    "plms": ("PNDMScheduler", dict(skip_prk_steps=True)),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", dict(algorithm_type="sde-dpmsolver++")),
    "dpmpp_2m_sde_heun": (
        "DPMSolverMultistepScheduler",
        dict(algorithm_type="sde-dpmsolver++", solver_type="heun"),
    ),
    "dpmpp_2s": ("DPMSolverSinglestepScheduler", dict(lower_order_final=True)),
    "uni_pc": ("UniPCMultistepScheduler", dict(solver_type="bh1")),
    "uni_pc_bh2": ("UniPCMultistepScheduler", dict(solver_type="bh2")),
    "deis": ("DEISMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}
SIGMAS = {key: {f"use_{name}": True} for key, name in
          [("karras", "karras_sigmas"), ("exponential", "exponential_sigmas"), ("beta", "beta_sigmas"), ("lu", "lu_lambdas")]}


def d_case(sampler, schedule, n, prediction="eps", **options):
    name, config = SCHEDULERS[sampler]
    config = dict(BETAS, **config)
    config["prediction_type"] = {"eps": "epsilon", "v": "v_prediction"}[prediction]
    if sampler != "dpmpp_2s":
        config["steps_offset"] = 1
        config["timestep_spacing"] = schedule if schedule in ("leading", "linspace", "trailing") else "leading"
    config.update(SIGMAS.get(schedule, {}))
    if "max_order" in options:
        config["solver_order"] = options["max_order"]
    scheduler = getattr(diffusers, name)(**config)
    scheduler.set_timesteps(n)
    generator = torch.Generator().manual_seed(SEED)
    x = torch.randn(SHAPE, generator=generator) * scheduler.init_noise_sigma
    arguments = {}
    if sampler in ("euler_ancestral", "dpm_2_ancestral", "ddpm", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "lcm"):
        arguments["generator"] = generator
    if "eta" in options:
        arguments.update(eta=options["eta"], generator=generator)
    network = Network()
    timesteps = scheduler.timesteps
    if sampler == "dpmpp_sde":
        positive = scheduler.sigmas[scheduler.sigmas > 0]
        brownian = k_diffusion.sampling.BrownianTreeNoiseSampler(x, positive.min(), positive.max(), seed=SEED)
        scheduler.noise_sampler = RoundedLevels(brownian)
        scheduler.sigmas = scheduler.sigmas.double()
    if sampler == "deis" and schedule in SIGMAS:
        timesteps = timesteps[:-1]  # the last step has no length
    for t in timesteps:
        prediction_there = network(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(prediction_there, t, x, **arguments).prev_sample
    if sampler == "uni_pc":  # 0 times infinity at level 0, where the limit is x0
        assert x.isnan().all()
        sigma = scheduler.sigmas[-2]
        alpha, sigma = 1 / (1 + sigma**2) ** 0.5, sigma / (1 + sigma**2) ** 0.5
        last = network.inputs[-1]
        x = (last - sigma * prediction_there) / alpha if prediction == "eps" else alpha * last - sigma * prediction_there
    extra = "".join(f"/{key}={value}" for key, value in options.items())
    network.save(f"diffusers/{sampler}/{schedule}/{n}/{prediction}{extra}", x)


def trajectories():
    k_samplers = ["euler", "euler_ancestral", "heun", "dpm_2", "dpm_2_ancestral", "lms", "dpmpp_2s_ancestral", "dpmpp_sde"]
    k_samplers += ["dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde"]
    for sampler in k_samplers:
        for schedule in ("automatic", "karras", "exponential"):
            k_case(sampler, schedule, 7)
        k_case(sampler, "karras", 7, "v")
        # Not 6 with a level discarded: a timestep would lie half-way between two integers.
        k_case(sampler, "normal", 5 if sampler.startswith("dpm_2") else 6, profile="comfy")
    for sampler in ("euler", "heun", "dpm_2"):
        k_case(sampler, "karras", 6, s_churn=3.0)
    k_case("euler", "karras", 6, s_churn=9.0, s_tmin=0.5, s_tmax=5.0, s_noise=1.01)
    for sampler in ("euler_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde"):
        k_case(sampler, "karras", 6, eta=0.4)
    for n in (4, 5, 6):
        k_case("dpm_fast", "exponential", n)
    k_case("dpm_adaptive", "exponential", 5)
    for n in (20, 36):
        k_case("restart", "karras", n)
    sigma_families = ["euler", "heun", "lms", "dpm_2", "dpm_2_ancestral", "dpmpp_sde"]
    multistep = ["dpmpp_2m", "dpmpp_2m_sde", "dpmpp_2s", "uni_pc", "uni_pc_bh2", "deis"]
    for sampler in SCHEDULERS:
        default = {"dpmpp_2s": "linspace", "lcm": "lcm"}.get(sampler, "leading")
        for prediction in ("eps", "v"):
            d_case(sampler, default, 10, prediction)
        if default == "leading":
            d_case(sampler, "leading", 7)
            d_case(sampler, "trailing", 10 if sampler == "pndm" else 8)  # its middles need an even stride
            if sampler not in ("ddim", "pndm", "plms"):  # their linspace steps do not end where the next one starts
                d_case(sampler, "linspace", 7)
        if sampler in sigma_families + multistep:
            for schedule in ("karras", "exponential", "beta"):
                if (sampler, schedule) == ("dpm_2_ancestral", "karras"):
                    continue  # one level gets two timesteps there, see profile.rs
                d_case(sampler, schedule, 7)
    d_case("dpmpp_2m", "lu", 7)
    d_case("dpmpp_2m", "karras", 16)
    d_case("lcm", "lcm", 4)
    for sampler in ("uni_pc", "uni_pc_bh2", "deis"):
        d_case(sampler, "leading", 9, max_order=3)
        d_case(sampler, "leading", 17, "v", max_order=3)
    for eta in (0.5, 1.0):
        d_case("ddim", "leading", 10, eta=eta)


# --- schedules


def schedules():
    model = k_diffusion.external.DiscreteEpsDDPMDenoiser(None, ALPHAS, False)
    low, high = model.sigma_min.item(), model.sigma_max.item()
    tensors = {"alphas_cumprod": ALPHAS}
    for n in (1, 2, 5, 20, 33):
        for name in ("automatic", "karras", "exponential", "polyexponential"):
            tensors[f"{name}/{n}"] = k_sigmas(model, name, n)
        places = 1 - np.linspace(0, 1, n)
        tensors[f"beta/{n}"] = np.append(low + scipy.stats.beta.ppf(places, 0.6, 0.6) * (high - low), 0)
        places = 1 - np.linspace(0, 1, n, endpoint=False)
        timesteps = np.rint(scipy.stats.beta.ppf(places, 0.6, 0.6) * 999).astype(int)
        tensors[f"beta_timesteps/{n}"] = np.append(model.sigmas.numpy()[timesteps], 0)
    places = np.array([1e-9, 1e-4, 0.01, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.99, 0.9999])
    for a, b in ((0.6, 0.6), (0.5, 2.0), (2.0, 5.0), (9.0, 0.7)):
        tensors[f"beta_quantile/{a}/{b}"] = scipy.stats.beta.ppf(places, a, b)
    tensors["beta_quantile_places"] = places
    zero_snr = diffusers.EulerDiscreteScheduler(**BETAS, rescale_betas_zero_snr=True)
    tensors["zero_snr_alphas_cumprod"] = zero_snr.alphas_cumprod
    cosine = diffusers.DDIMScheduler(beta_schedule="squaredcos_cap_v2")
    tensors["squared_cosine_alphas_cumprod"] = cosine.alphas_cumprod
    sigmas = torch.tensor([0.01, 0.03, 0.1, 0.5, 1.0, 3.3, 14.0, 20.0])
    tensors["timestep_sigmas"] = sigmas
    tensors["timesteps"] = model.sigma_to_t(sigmas)
    timesteps = torch.tensor([0.0, 0.5, 1.0, 333.3, 998.9, 999.0])
    tensors["sigma_timesteps"] = timesteps
    tensors["sigmas"] = model.t_to_sigma(timesteps)
    return tensors


if __name__ == "__main__":
    sys.argv[0] = __file__
    trajectories()
    golden.save("sampling", "trajectories", TENSORS, seed=SEED, tolerance=1e-4,
                note="network calls and results of each sampler, k-diffusion and diffusers")
    golden.save("sampling", "schedules", schedules(), seed=None, tolerance=1e-4,
                note="noise levels, cumulative alphas and beta quantiles of k-diffusion, diffusers and scipy")
    print(len(TENSORS) // 3, "cases")
