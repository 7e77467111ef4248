"""Goldens of the CLIP text towers: testdata/clip/.

Small towers of every kind Stable Diffusion has, with the weights of golden_weights.py, run by transformers; and the
text encoder of tronie-mini-seed where ../shared holds it.

    python reference/clip.py
"""

from pathlib import Path

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import golden
import golden_weights

torch.set_num_threads(1)

S = 12  # tokens per text
VOCAB = 60

# Beginning 50, end 51 in both; the legacy rule takes the largest id (59 is in one row), the other the first 51.
TOKENS = torch.tensor(
    [
        [50, 3, 7, 51, 51, 51, 51, 51, 51, 51, 51, 51],
        [50, 9, 59, 4, 1, 0, 51, 12, 51, 51, 51, 51],
        [50, 5, 17, 33, 8, 21, 2, 40, 11, 13, 6, 51],
    ]
)

TOWERS = {
    # name: (class, what differs from the base)
    "quick_gelu": (CLIPTextModel, {"hidden_act": "quick_gelu", "eos_token_id": 2}),
    "gelu": (CLIPTextModel, {"hidden_act": "gelu", "eos_token_id": 51}),
    "projection": (CLIPTextModelWithProjection, {"hidden_act": "gelu", "eos_token_id": 2, "projection_dim": 20}),
    "projection_first_end": (
        CLIPTextModelWithProjection,
        {"hidden_act": "quick_gelu", "eos_token_id": 51, "projection_dim": 20},
    ),
}


def fill(model):
    """Weights by the names that checkpoints use; CLIPTextModel alone has lost its prefix in transformers 5."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith(("text_model.", "text_projection.")):
                name = "text_model." + name
            parameter.copy_(golden_weights.weight(name, tuple(parameter.shape)))
    return model


def tower(cls, **differences):
    config = CLIPTextConfig(
        vocab_size=VOCAB,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=S + 4,
        attn_implementation="eager",
        **differences,
    )
    return fill(cls(config).eval())


def inner(model):
    """The module that owns final_layer_norm."""
    return getattr(model, "text_model", model)


def run(model, tokens):
    with torch.no_grad():
        out = model(input_ids=tokens, output_hidden_states=True)
        values = {"tokens": tokens}
        for from_end in range(1, len(out.hidden_states) + 1):
            values[f"hidden_{from_end}"] = out.hidden_states[-from_end]
            values[f"normed_{from_end}"] = inner(model).final_layer_norm(out.hidden_states[-from_end])
        values["pooled"] = out.text_embeds if hasattr(out, "text_embeds") else out.pooler_output
    return values


def small_towers():
    tensors = {}
    for name, (cls, differences) in TOWERS.items():
        for key, value in run(tower(cls, **differences), TOKENS).items():
            tensors[f"{name}.{key}"] = value
    golden.save(
        "clip",
        "towers",
        tensors,
        seed=None,
        tolerance=1e-4,
        note="every hidden state, bare and normed, and the pooled vector of small text towers",
    )


def inserted_vectors():
    """Textual inversion: what a text gives when two of its embeddings are replaced."""
    model = tower(*TOWERS["quick_gelu"][:1], **TOWERS["quick_gelu"][1])
    vectors = golden_weights.inputs("vectors", (2, 32))

    def replace(_module, _inputs, embedded):
        embedded = embedded.clone()
        embedded[0, 2] = vectors[0]
        embedded[1, 5] = vectors[1]
        return embedded

    handle = inner(model).embeddings.token_embedding.register_forward_hook(replace)
    values = run(model, TOKENS)
    handle.remove()
    golden.save(
        "clip",
        "inserted",
        {key: values[key] for key in ["tokens", "hidden_2", "normed_1", "pooled"]},
        seed=None,
        tolerance=1e-4,
        note="the quick_gelu tower with token embeddings (0, 2) and (1, 5) replaced by the input 'vectors'",
    )


def mini():
    folder = Path(__file__).resolve().parent.parent.parent / "shared/models/tronie-mini-seed/text_encoder"
    if not folder.is_dir():
        print("skipped mini: no shared data beside the repository")
        return
    model = CLIPTextModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    # "a photo of a smiling woman" between begin and end
    tokens = torch.tensor([[49406, 320, 1125, 539, 320, 9200, 2308, 49407, 49407, 49407]])
    values = run(model, tokens)
    golden.save(
        "clip",
        "mini",
        {key: values[key] for key in ["tokens", "hidden_2", "normed_1", "pooled"]},
        seed=None,
        tolerance=1e-4,
        note="the text encoder of tronie-mini-seed on one prompt",
    )


if __name__ == "__main__":
    small_towers()
    inserted_vectors()
    mini()
