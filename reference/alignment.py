"""Goldens of tronie-prompt's alignments: testdata/prompt/alignments.json.

What prompt-to-prompt (arXiv:2208.01626) calls replacement and refinement, written down from the paper and from the behaviour of its
authors' seq_aligner.py, and the blocks of Python's own difflib on rows of 77 ids. Words are what the tokenizer takes for words.

    python reference/alignment.py TOKENIZER_FOLDER
"""

import difflib
import json
import sys

import numpy as np
from transformers import CLIPTokenizer

import golden

ROW = 77
CASES = [
    ("words", "a photo of a young woman", "a photo of an old woman"),
    ("words", "a photo of a cat", "a photo of a chrysanthemum"),
    ("words", "a chrysanthemum on a table", "a cat on a table"),
    ("words", "portrait of a chrysanthemum, oil", "portrait of a xylophonist, ink"),
    ("common", "a photo of a woman", "a photo of an old woman with glasses"),
    ("common", "a photo of an old woman with glasses", "a photo of a woman"),
    ("common", "red cat and blue dog", "blue dog and red cat"),
    ("blocks", "a fantasy landscape with a pine tree", "a fantasy landscape with an oak tree"),
    ("blocks", "a photo of a woman", "a photo of an old woman with glasses"),
    ("blocks", "red cat and blue dog", "blue dog and red cat"),
]


def words(tokenizer, text):
    """Ids of each word, start and end being words of their own."""
    out, word = [], []
    for id in tokenizer.encode(text):
        word.append(id)
        if tokenizer.convert_ids_to_tokens(id).endswith("</w>") or id in (tokenizer.bos_token_id, tokenizer.eos_token_id):
            out.append(word)
            word = []
    return out


def replaced(old, new):
    matrix, i, j = np.zeros((ROW, ROW)), 0, 0
    for a, b in zip(old, new, strict=True):
        if len(a) == len(b):
            matrix[range(i, i + len(a)), range(j, j + len(b))] = 1
        else:
            matrix[i : i + len(a), j : j + len(b)] = 1 / len(b)
        i, j = i + len(a), j + len(b)
    for place in range(j, ROW):
        matrix[place, place] = 1
    return matrix, np.zeros(ROW)


def refined(old, new):
    x, y = sum(old, []), sum(new, [])
    score = np.zeros((len(x) + 1, len(y) + 1))
    for i in range(1, len(x) + 1):
        for j in range(1, len(y) + 1):
            equal = 1 if x[i - 1] == y[j - 1] else -1
            score[i, j] = max(score[i, j - 1], score[i - 1, j], score[i - 1, j - 1] + equal)
    matrix, kept = np.zeros((ROW, ROW)), np.ones(ROW)
    i, j = len(x), len(y)
    while i and j:
        if score[i, j] == score[i, j - 1]:
            j -= 1
        elif score[i, j] == score[i - 1, j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            matrix[i, j], kept[j] = 1, 0
    for place in range(len(y), ROW):
        matrix[place, place], kept[place] = 1, 0
    return matrix, kept


def blocks(old, new):
    filled = lambda ids: (ids + [ids[-1]] * ROW)[:ROW]
    matrix, kept = np.zeros((ROW, ROW)), np.ones(ROW)
    matcher = difflib.SequenceMatcher(None, filled(sum(old, [])), filled(sum(new, [])))
    for name, a0, a1, b0, b1 in matcher.get_opcodes():
        if name == "equal" or (name == "replace" and a1 - a0 == b1 - b0):
            matrix[range(a0, a1), range(b0, b1)] = 1
            kept[b0:b1] = 0
    return matrix, kept


if __name__ == "__main__":
    tokenizer = CLIPTokenizer.from_pretrained(sys.argv[1])
    rows = []
    for way, old, new in CASES:
        matrix, kept = {"words": replaced, "common": refined, "blocks": blocks}[way](words(tokenizer, old), words(tokenizer, new))
        entries = [[int(i), int(j), float(np.float32(matrix[i, j]))] for i, j in zip(*matrix.nonzero())]
        rows.append({"way": way, "old": old, "new": new, "matrix": entries, "kept": kept.tolist()})
    path = golden.TESTDATA / "prompt" / "alignments.json"
    path.write_text("[\n" + ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows) + "\n]\n")
    golden.record(path, seed=None, tolerance=0, note="which of 77 places of a prompt take whose attention, by three rules")
