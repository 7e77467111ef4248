"""Goldens of training: testdata/training/. Ten steps of full, low-rank and textual-inversion training of small UNets, in float32 on
PyTorch.

Weights and inputs follow golden_weights.py. Kept are the losses of all steps, every gradient of the first step as its norm and its
largest value's share (all tensors) and in full (some), and some weights after the last step.

    python reference/finetune.py
"""

import torch
from diffusers import DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import clip as clips
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

# Text towers whose vectors are trained: class, width, heads, hidden state from the end, projection.
TOWERS = {
    "sd15": [(CLIPTextModel, 24, 4, 1, None)],
    "sdxl": [(CLIPTextModel, 8, 2, 2, None), (CLIPTextModelWithProjection, 16, 4, 2, 20)],
}
# Beginning 50, end 51; the two vectors take the places of the zeros.
TOKENS = torch.tensor([[50, 3, 0, 0, 7, 51, 51, 51], [50, 9, 5, 17, 33, 0, 0, 51]])


def batch(unet, step, sizes):
    """Latents, noise, timesteps and conditioning of one step."""
    latents, noise = inputs(f"latents.{step}", (BATCH, 4, 8, 8)), inputs(f"noise.{step}", (BATCH, 4, 8, 8))
    timesteps = torch.tensor([(97 * step + 31 + 443 * item) % 1000 for item in range(BATCH)])
    arguments = {"encoder_hidden_states": inputs(f"context.{step}", (BATCH, 5, unet.config.cross_attention_dim))}
    if sizes:
        ids = torch.tensor([sizes] * BATCH, dtype=torch.float32)
        arguments["added_cond_kwargs"] = {"text_embeds": inputs(f"pooled.{step}", (BATCH, 20)), "time_ids": ids}
    return latents, noise, timesteps, arguments


def loss_of(unet, scheduler, step, sizes, text=None):
    """text: context and pooled vectors in place of the step's own."""
    latents, noise, timesteps, arguments = batch(unet, step, sizes)
    if text:
        arguments["encoder_hidden_states"], pooled = text
        if sizes:
            arguments["added_cond_kwargs"]["text_embeds"] = pooled
    predicted = unet(scheduler.add_noise(latents, noise, timesteps), timesteps, **arguments).sample
    is_v = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, timesteps) if is_v else noise
    return torch.nn.functional.mse_loss(predicted, target)


def train(unet, scheduler, sizes):
    trained = {name: value for name, value in unet.named_parameters() if value.requires_grad}
    return steps(trained, lambda step: loss_of(unet, scheduler, step, sizes))


def steps(trained, loss_at):
    """Losses, gradients of the first step and final values of everything that is trained."""
    optimizer = torch.optim.AdamW(trained.values(), lr=LR, weight_decay=1e-2)
    losses, gradients = [], {}
    for step in range(STEPS):
        loss = loss_at(step)
        optimizer.zero_grad()
        loss.backward()
        if step == 0:
            gradients = {name: value.grad.clone() for name, value in trained.items()}
        optimizer.step()
        losses.append(loss.item())
    return losses, gradients, {name: value.detach() for name, value in trained.items()}


def tower(cls, d, n_heads, projection):
    """A text tower of two blocks that nothing is trained of."""
    config = CLIPTextConfig(vocab_size=60, hidden_size=d, intermediate_size=2 * d, num_hidden_layers=2, num_attention_heads=n_heads,
                            max_position_embeddings=8, eos_token_id=51, hidden_act="quick_gelu", projection_dim=projection or 512,
                            attn_implementation="eager")
    return clips.fill(cls(config).eval()).requires_grad_(False)


def encode(model, from_end, vectors):
    """Context and pooled vectors of TOKENS, with `vectors` at their zeros."""

    def replace(_module, _inputs, embedded):
        embedded = embedded.clone()
        embedded[0, 2:4], embedded[1, 5:7] = vectors, vectors
        return embedded

    handle = clips.inner(model).embeddings.token_embedding.register_forward_hook(replace)
    out = model(input_ids=TOKENS, output_hidden_states=True)
    handle.remove()
    hidden = out.hidden_states[-from_end]
    pooled = out.text_embeds if hasattr(out, "text_embeds") else None
    return (clips.inner(model).final_layer_norm(hidden) if from_end == 1 else hidden), pooled


def invert(name, unet, scheduler, sizes):
    """Textual inversion: the same as `train` for two vectors of each text tower, and nothing else."""
    towers = [(tower(cls, d, n_heads, projection), from_end) for cls, d, n_heads, from_end, projection in TOWERS[name]]
    vectors = [torch.nn.Parameter(0.5 * inputs(f"vectors.{i}", (2, row[1]))) for i, row in enumerate(TOWERS[name])]
    unet.requires_grad_(False)

    def loss_at(step):
        texts = [encode(model, from_end, row) for (model, from_end), row in zip(towers, vectors)]
        return loss_of(unet, scheduler, step, sizes, (torch.cat([text[0] for text in texts], -1), texts[-1][1]))

    names = ["text_encoder.vectors", "text_encoder_2.vectors"]
    losses, gradients, final = steps(dict(zip(names, vectors)), loss_at)
    tensors = {"losses": torch.tensor(losses)}
    tensors |= {f"gradient.{key}": value for key, value in gradients.items()}
    return tensors | {f"final.{key}": value for key, value in final.items()}


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
        if name in TOWERS:
            unet = fill(UNet2DConditionModel(**config))
            golden.save("training", f"inversion_{name}", invert(name, unet, scheduler, sizes), seed=None, tolerance=1e-4,
                        note=f"{STEPS} AdamW steps on two vectors in front of the small text towers of a {name}-shaped UNet")


if __name__ == "__main__":
    main()
