"""Goldens of tronie-prompt, and the merge table it embeds.

Usage:  python reference/prompt.py TOKENIZER_FOLDER

TOKENIZER_FOLDER holds the tokenizer.json of any Stable Diffusion checkpoint (CLIP's vocabulary of 49,408 tokens). Writes
- testdata/prompt/tokens.safetensors: word salad and the ids that transformers' CLIPTokenizer gives it;
- testdata/prompt/truncated.safetensors: what CLIPTokenizer keeps of long prompts, as diffusers asks it to;
- crates/tronie-prompt/src/tokenizer/clip_merges.bin: the vocabulary, as the pair of ids behind each merged token.
"""

import json
import random
import struct
import sys
from pathlib import Path

import numpy as np
from transformers import CLIPTokenizer

from golden import save

SEED = 20
N_PROMPTS = 2000
N_LONG_PROMPTS = 40

PLAIN = """portrait of a woman man smiling old young sailor baker with wearing hat red blue green scarf in front window light
soft hard rim studio photo painting oil watercolor sketch charcoal close up looking at viewer left right freckles beard glasses
curly hair wrinkles sharp focus bokeh film grain 35mm 85mm f/1.8 masterpiece detailed highly intricate trending artstation
landscape pine tree foreground sunset distance mountain river fog storm lighthouse harbor market street night neon rain snow
the and or on under between behind quiet brave tired melancholy cheerful astonished gilded velvet linen wool""".split()
ODD = """don't it's we're I'll they've she'd 'tis rock'n'roll O'Brien ''quoted'' "double" well-known state-of-the-art e.g. i.e.
naïve café façade Zürich Ångström smörgåsbord señorita coração Łódź İstanbul straße ŒUVRE Ďáblice fiancée Crème brûlée Ελλάδα
ΟΔΟΣ Σίσυφος Москва портрет женщины Київ שלום مرحبا नमस्ते สวัสดี こんにちは 世界 肖像画 美しい女性 微笑 東京タワー 안녕하세요 초상화 ﬁligree ｆｕｌｌｗｉｄｔｈ
１２３ ½ ² ③ Ⅷ ٣ ५ 2024 1,000 3.14159 -17 +5 100% 50mm 4k 8K #1 @home a_b snake_case CamelCase UPPERCASE lOwErCaSe C++ C# R&B
http://example.org/a?b=c&d=e user@example.org <b>bold</b> &amp; &lt; {curly} [square] (round) |pipe| ~tilde~ `tick` ^caret^ \\slash /slash
... !!! ?! --- ___ *** === <|endoftext|> <|startoftext|> <|ENDOFTEXT|> <start_of_text> <|endoftext|>! !<|endoftext|> 's 'S 'LL 'Ve 'x ' ''s !'s
supercalifragilisticexpialidocious Donaudampfschifffahrtsgesellschaftskapitän aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa qzxjvkwpq
🙂 😀😃 👩‍🎨 👍🏽 🇯🇵 ❤️ ✨ ★☆ → ≠ ∑ € £ ¥ © ™ ° • – — … “curly” ‘single’ «guillemets» ¿qué? ¡hola! ﷺ 𝔉𝔯𝔞𝔨𝔱𝔲𝔯 𝟙𝟚 a̐éö̲ é ǆ ŉ ẞ""".split()
GAPS = [" "] * 30 + [", "] * 8 + ["  ", "\t", "\n", "\r\n", "\u00a0", "\u3000", "\u200b", "\u2028", "\u0085", "", "", ",", ". ", "; ", ": ", "-", "'"]


def word(rng):
    kind = rng.random()
    if kind < 0.62:
        return rng.choice(PLAIN)
    if kind < 0.90:
        return rng.choice(ODD)
    if kind < 0.94:
        return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(1, 30)))
    if kind < 0.97:
        return "".join(chr(rng.choice([rng.randint(33, 126), rng.randint(161, 0x24F), rng.randint(0x370, 0x52F)])) for _ in range(rng.randint(1, 12)))
    return "".join(chr(rng.choice([rng.randint(0x4E00, 0x9FA5), rng.randint(0x3041, 0x30FA), rng.randint(0xAC00, 0xD7A3), rng.randint(0x1F300, 0x1F64F)])) for _ in range(rng.randint(1, 6)))


def salad(rng, n_words):
    pieces = []
    for _ in range(n_words):
        pieces += [word(rng), rng.choice(GAPS)]
    return "".join(pieces)


def pack(texts, ids):
    """Texts as UTF-8 bytes with their lengths, ids as little-endian byte pairs with their counts."""
    encoded = [text.encode() for text in texts]
    flat = np.array([token for row in ids for token in row], dtype="<u2")
    return {
        "text": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        "text_len": np.array([len(text) for text in encoded], dtype=np.int32),
        "ids": flat.view(np.uint8).reshape(-1, 2),
        "ids_len": np.array([len(row) for row in ids], dtype=np.int32),
    }


def tokens(tokenizer):
    rng = random.Random(SEED)
    texts = ["", " ", "a", "A fantasy landscape with a pine tree in the foreground and a red sun setting in the distance, trending on artstation"]
    texts += sorted(set(ODD))
    while len(texts) < N_PROMPTS:
        texts.append(salad(rng, rng.randint(1, 14)))
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    note = f"{len(texts)} prompts of word salad and their CLIPTokenizer ids without start and end"
    save("prompt", "tokens", pack(texts, ids), seed=SEED, tolerance=0.0, note=note)


def truncated(tokenizer):
    rng = random.Random(SEED + 1)
    texts = [salad(rng, rng.randint(20, 90)) for _ in range(N_LONG_PROMPTS)]
    ids = [tokenizer(text, padding="max_length", max_length=77, truncation=True)["input_ids"] for text in texts]
    note = "long prompts and the 77 ids that diffusers hands to the text encoder"
    save("prompt", "truncated", pack(texts, ids), seed=SEED + 1, tolerance=0.0, note=note)


def merge_table(folder):
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    vocab = model["vocab"]
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    for index, (left, right) in enumerate(pairs):
        assert vocab[left + right] == 512 + index, "ids follow the order of the merges"
    data = b"".join(struct.pack("<HH", vocab[left], vocab[right]) for left, right in pairs)
    crate = Path(__file__).resolve().parent.parent / "crates" / "tronie-prompt"
    (crate / "src" / "tokenizer" / "clip_merges.bin").write_bytes(data)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    tokenizer = CLIPTokenizer.from_pretrained(source)
    merge_table(source)
    tokens(tokenizer)
    truncated(tokenizer)
