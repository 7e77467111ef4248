"""LoRA files as diffusers and PEFT write them, and what the dialects call each module, by diffusers itself.

For a narrow UNet and text encoders of Stable Diffusion 1.5's and XL's structure every linear layer and convolution gets a
LoRA. One line per module: network and path, kohya's name, the name in diffusers' old attention-processor form, the shapes
of the two matrices. kohya's names come from `convert_state_dict_to_kohya`, those of XL's UNet (kohya trains it on LDM's
UNet) from the LDM names of layouts.py; the others are what diffusers' loader converts kohya's names into, and its result
must name exactly the modules that PEFT put the LoRA on. Lines are front-coded as in layouts.py.

With a file as argument (`adapters.py sd15 FILE`, `adapters.py sdxl FILE`) the file, in PEFT's names, is loaded into such a
pipeline instead: every tensor must arrive unchanged at its module, and each module's rank and alpha are printed.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_lora_to_diffusers, _maybe_map_sgm_blocks_to_diffusers
from diffusers.utils.state_dict_utils import convert_state_dict_to_kohya, convert_state_dict_to_peft, convert_unet_state_dict_to_peft
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file, save
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

sys.path.insert(0, str(Path(__file__).resolve().parent))
import golden
import layouts

SEED, WIDTH, RANK = 7, 8, 2
FOLDER = golden.TESTDATA / "adapters"
torch.set_num_threads(1)

# family -> transformer blocks per level, multiples of the width; XL's ten blocks are cut to three
FAMILIES = {"sd15": ([1, 1, 1, 0], [1, 2, 4, 4]), "sdxl": ([0, 2, 3], [1, 2, 4])}


def clip(kind):
    config = CLIPTextConfig(
        vocab_size=10, hidden_size=WIDTH, intermediate_size=4 * WIDTH, projection_dim=WIDTH, num_hidden_layers=2,
        num_attention_heads=1, bos_token_id=8, eos_token_id=9,
    )
    return kind(config)


def pipeline(family):
    """A pipeline without tokenizers, which loading needs not."""
    torch.manual_seed(SEED)
    depths, mult = FAMILIES[family]
    config = layouts.unet_config(WIDTH, mult, depths, 2 * WIDTH, family == "sdxl", 6 * 256 + WIDTH if family == "sdxl" else None)
    unet = UNet2DConditionModel(**config, norm_num_groups=2, attention_head_dim=2)
    vae = AutoencoderKL(block_out_channels=[2], norm_num_groups=1, sample_size=8)
    parts = {"unet": unet, "vae": vae, "scheduler": DDIMScheduler(steps_offset=1, clip_sample=False), "tokenizer": None, "text_encoder": clip(CLIPTextModel)}
    if family == "sdxl":
        parts |= {"tokenizer_2": None, "text_encoder_2": clip(CLIPTextModelWithProjection)}
        return StableDiffusionXLPipeline(**parts)
    return StableDiffusionPipeline(**parts, safety_checker=None, feature_extractor=None)


def adapted(pipe):
    """Network -> its LoRA with a matrix for every linear layer and convolution."""
    found = {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        network = getattr(pipe, part, None)
        if network is None:
            continue
        kinds = (torch.nn.Linear, torch.nn.Conv2d)
        targets = [name for name, module in network.named_modules() if isinstance(module, kinds)]
        network.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=targets, init_lora_weights=False))
        found[part] = get_peft_model_state_dict(network)
    return found


def canonical(part, module):
    """transformers 5 leaves out the outermost name of a text encoder, which files have kept."""
    is_short = part != "unet" and module.startswith(("encoder.", "embeddings.", "final_layer_norm"))
    return f"text_model.{module}" if is_short else module


def ldm_kohya():
    """kohya's name of every module of XL's UNet."""
    depths, mult = FAMILIES["sdxl"]
    shapes = layouts.ldm_unet(WIDTH, mult, depths, 2 * WIDTH, True, 6 * 256 + WIDTH)
    names = [name.removesuffix(".weight") for name, shape in shapes.items() if name.endswith(".weight") and len(shape) > 1]
    return ["lora_unet_" + name.replace(".", "_") for name in names]


def through_the_loader(names, config):
    """kohya's module names -> diffusers' old form of each, by what the loader makes of it."""
    single = {f"{name}.lora_{role}.weight": torch.tensor(float(i)) for i, name in enumerate(names) for role in ("down", "up")}
    converted, _ = _convert_non_diffusers_lora_to_diffusers(_maybe_map_sgm_blocks_to_diffusers(single, config))
    return {names[int(value)]: key for key, value in converted.items() if ".down." in key}


def modern(old):
    """The PEFT name that the loader goes on to make of an old one."""
    part, _, rest = old.partition(".")
    convert = convert_unet_state_dict_to_peft if part == "unet" else convert_state_dict_to_peft
    own = {rest: 0} if part == "unet" else {rest: 0, "to_out_lora" if "_lora.down" in rest else "lora_linear_layer": 0}
    return part, next(iter(convert(own))).removesuffix(".lora_A.weight").removesuffix(".lora_A")


def lines(family):
    pipe = pipeline(family)
    loras = adapted(pipe)
    names, shapes = [], {}
    for part, lora in loras.items():
        full = {f"{part}.{canonical(part, key)}": value for key, value in lora.items()}
        for key, value in full.items():
            shapes[key] = layouts.shape(value.shape)
        kohya = {key.split(".")[0] for key in convert_state_dict_to_kohya(full)}
        names += sorted(ldm_kohya()) if (family, part) == ("sdxl", "unet") else sorted(kohya)
    olds = through_the_loader(names, pipe.unet.config)
    used = set()
    for name in names:
        part, module = modern(olds[name])
        target = f"{part}.{module}"
        down, up = (shapes[f"{target}.lora_{letter}.weight"] for letter in "AB")
        used.add(target)
        # what the trainer calls the only text encoder, which the converter numbers all the same
        spelled = name.replace("lora_te1_", "lora_te_") if family == "sd15" else name
        yield "\t".join([f"{part}/{module}", spelled, olds[name].removesuffix(".down.weight"), down, up])
    expected = {key.rpartition(".lora_")[0] for key in shapes}
    assert used == expected, (family, used ^ expected)


def saved():
    """A file of `save_lora_weights` with scales that differ, and what each scale is."""
    pipe = pipeline("sd15")
    generator = torch.Generator().manual_seed(SEED)
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    targets = {
        "unet": [f"{block}.attn1.to_q", f"{block}.attn2.to_k", f"{block}.ff.net.2", "mid_block.resnets.0.conv1"],
        "text_encoder": ["q_proj", "fc1"],
    }
    layers, metadata = {}, {}
    for part, modules in targets.items():
        patterns = {"rank_pattern": {"attn2.to_k": 3}, "alpha_pattern": {r"resnets\.\d+\.conv1": 0.5}} if part == "unet" else {}
        config = LoraConfig(r=2, lora_alpha=1 if part == "unet" else 4, target_modules=modules, **patterns)
        network = getattr(pipe, part)
        network.add_adapter(config)
        layers[part] = {k: torch.randn(v.shape, generator=generator).half() for k, v in get_peft_model_state_dict(network).items()}
        metadata[part] = {k: sorted(v) if isinstance(v, set) else v for k, v in network.peft_config["default"].to_dict().items()}
    pipe.save_lora_weights(
        FOLDER, unet_lora_layers=layers["unet"], text_encoder_lora_layers=layers["text_encoder"], weight_name="diffusers.safetensors",
        unet_lora_adapter_metadata=metadata["unet"], text_encoder_lora_adapter_metadata=metadata["text_encoder"],
    )
    golden.record(FOLDER / "diffusers.safetensors", seed=SEED, tolerance=0, note="a LoRA as save_lora_weights writes it")


def hashes():
    """kohya's two hashes of a file of more than a megabyte, of which only the way to make it is kept."""
    n = 4 * 90_000
    tensors = {
        "lora_unet_conv_in.lora_down.weight": torch.arange(n, dtype=torch.float32).reshape(4, -1),
        "lora_unet_conv_in.lora_up.weight": torch.arange(8, dtype=torch.float32).reshape(2, 4),
        "lora_unet_conv_in.alpha": torch.tensor(2.0),
    }
    metadata = {"ss_network_module": "networks.lora", "ss_network_dim": "4", "ss_network_alpha": "2.0", "ss_note": 'a "ß"'}
    data = save(tensors, metadata)
    header = 8 + int.from_bytes(data[:8], "little")
    found = {
        "sshs_model_hash": hashlib.sha256(data[header:]).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(data[0x100000:0x110000]).hexdigest()[:8],
    }
    path = FOLDER / "hashes.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    golden.record(path, seed=None, tolerance=0, note="sd-scripts' hashes of tensors that the test makes again")


def check(family, path):
    """Loads a file and finds each of its tensors in the pipeline."""
    pipe = pipeline(family)
    pipe.load_lora_weights(str(Path(path).parent), weight_name=Path(path).name)
    stored = load_file(path)
    n = 0
    for part in ("unet", "text_encoder", "text_encoder_2"):
        network = getattr(pipe, part, None)
        for name, module in network.named_modules() if network is not None else ():
            if not getattr(module, "lora_A", None):
                continue
            adapter = next(iter(module.lora_A))
            key = f"{part}.{canonical(part, name)}"
            for letter, own in (("A", module.lora_A), ("B", module.lora_B)):
                assert torch.equal(own[adapter].weight, stored.pop(f"{key}.lora_{letter}.weight").to(own[adapter].weight.dtype)), key
            print(key, "rank", module.r[adapter], "alpha", module.lora_alpha[adapter])
            n += 1
    assert not stored, sorted(stored)[:3]
    print(f"OK: {n} modules")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        check(*sys.argv[1:])
        sys.exit()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES:
        path = FOLDER / f"{family}.tsv"
        path.write_text("".join(layouts.front_coded(sorted(lines(family)))))
        note = "network/path, kohya's name, old diffusers name, shapes of down and up; front-coded lines"
        golden.record(path, seed=SEED, tolerance=0, note=note)
    saved()
    hashes()
