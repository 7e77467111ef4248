"""The pictures and captions of the embedded model: aligned faces, each under several short sentences.

    python reference/mini_faces.py FACES ANNOTATIONS ALIGNED OUT

FACES is a folder with metadata.jsonl (file_name, attributes, group, duplicate_of, human_label), ANNOTATIONS what
`tronie faces annotate FACES` has found in it, ALIGNED the aligned.jsonl of `tronie faces align FACES --size 128`. OUT gets
`train/` and `held-out/`, imagefolders with captions, and `attributes.jsonl`: what is known of every picture, for
reference/mini_probe.py. Whole groups are held out, as in reference/face_labels.py.

A caption is put together from what is known: sex and age are the networks' where they are sure, else the prompt's;
glasses, hair and makeup are words of prompts and queries; smile is either's. A picture stands in the folder once
for each of its sentences, the full one and shorter ones, so that short prompts work as well as long ones.
Faces are cut out as FFHQ has them, but not turned, and moved or enlarged until the square is inside of the picture.
Left out: duplicates, pictures a person has called bad, those without exactly one face, and squares moved too far.
"""

import hashlib
import json
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from face_labels import HELD_OUT, attributes_of, groups_of

N_SENTENCES = 3
CROP_PX = 128
GROUPS = [(3, "baby"), (13, "child"), (20, "teenager"), (35, "young"), (56, "middle-aged"), (200, "old")]
NOUNS = {
    "female": {"baby": "baby girl", "child": "girl", "teenager": "teenage girl"},
    "male": {"baby": "baby boy", "child": "boy", "teenager": "teenage boy"},
    None: {"baby": "baby", "child": "child", "teenager": "teenager"},
}
ADULT = {"female": "woman", "male": "man", None: "person"}
HAIR = [  # of the words of a query, the first that fits
    (r"\bbald", "bald"), (r"blond|yellow", "blond hair"), (r"\bred\b|ginger|orange|auburn", "red hair"),
    (r"gr[ae]y|white|silver", "gray hair"), (r"pink", "pink hair"), (r"blue", "blue hair"), (r"green", "green hair"),
    (r"purple|violet", "purple hair"), (r"brown|brunette", "brown hair"), (r"black|dark", "black hair"),
]
STYLES = [(r"curl", "curly hair"), (r"\bafro", "an afro"), (r"braid", "braids"), (r"dread", "dreadlocks"),
          (r"mohawk", "a mohawk"), (r"ponytail|pony tail", "a ponytail"), (r"\bbun\b", "a bun"), (r"\blong", "long hair"),
          (r"\bshort|crew|buzz|pixie|bob", "short hair")]
ACCESSORIES = [(r"sunglasses", "sunglasses"), (r"glasses", "glasses"), (r"\bhat|cap\b|beanie|fedora", "a hat"),
               (r"earring", "earrings"), (r"headphone", "headphones"), (r"scarf", "a scarf"), (r"crown|tiara", "a crown")]
FACIAL = [(r"no beard|clean|shav", None), (r"beard|goatee", "a beard"), (r"mustache|moustache", "a mustache")]
EXPRESSIONS = [(r"smil|happy|laugh|joy", "smiling"), (r"angry|mad\b|furious", "angry"), (r"surpris|shock", "surprised"),
               (r"\bsad|cry", "sad")]
ORIGINS = [
    (r"south-american|hispanic|brazil|colombia|mexic|latin|peru|argentin", "Latin"), (r"native.american", "Native American"),
    (r"african|nigeria|congo|kenya|ethiop|somali", "African"), (r"indian|pakistan|bangladesh|nepal", "Indian"),
    (r"persian|iran|turk|arab|middle eastern|egypt|afghan", "Middle Eastern"),
    (r"asian|chinese|korea|japan|vietnam|thai|indonesia|filip|mongol", "Asian"),
    (r"irish|cauca|engl|swed|french|russia|europe|scandinav|german|ital|austral|georgia|polish|greek|spanish|dagestan", "white"),
]


def first(rows, text):
    return next((name for pattern, name in rows if re.search(pattern, text)), None)


def group_of(age):
    return next(name for below, name in GROUPS if age < below)


def known(row, line):
    """What is known of a picture, or None where it is to be left out."""
    faces = line.get("faces") or []
    if len(faces) != 1 or row["duplicate_of"] or row.get("human_label") == "bad" or row.get("weak_label"):
        return None
    face, a = faces[0], row["attributes"]
    said = {key: str(a.get(key) or "").lower() for key in ("hair", "accessory", "facial_hair", "expression", "makeup", "query")}
    measured = face["age_gender"]
    sex = attributes_of(row)["sex"]
    if sex is None and abs(measured["male"] - 0.5) > 0.2:
        sex = "male" if measured["male"] > 0.5 else "female"
    age = a.get("age_years") if a.get("age_years") is not None else measured["age_years"]
    expression = first(EXPRESSIONS, said["expression"])
    feels = face.get("expression") or {}
    if expression is None and feels:
        best = max(feels, key=feels.get)
        sure = {"happy": 0.9, "angry": 0.97, "surprised": 0.97}.get(best, 2)
        expression = {"happy": "smiling"}.get(best, best) if feels[best] > sure else None
    if said["expression"] and expression is None and first([(r"neutral|serious|calm|grim|straight", 1)], said["expression"]):
        expression = "serious"
    return {
        "sex": sex, "age_group": group_of(age) if age is not None else None, "age_years": age,
        "hair": first(HAIR, said["hair"]), "style": first(STYLES, said["hair"]),
        "accessory": first(ACCESSORIES, said["accessory"] + " " + said["query"]),
        "facial_hair": first(FACIAL, said["facial_hair"] + " " + said["query"]) if sex != "female" else None,
        "expression": expression, "makeup": first([("without", None), ("makeup|lipstick|eyeliner", "makeup")], said["makeup"]),
        "ethnicity": first(ORIGINS, (a.get("ethnicity") or "").lower()),
    }


def cut(picture, row):
    """The square of a face, or None where it reaches too far out of the picture."""
    matrix = np.array(row["image_from_crop"])
    side = np.hypot(*matrix[:, 0]) * CROP_PX
    fits = min(side, *picture.size)
    middle = matrix @ [CROP_PX / 2, CROP_PX / 2, 1]
    corner = np.clip(middle - fits / 2, 0, np.array(picture.size) - fits)
    moved = np.abs(corner + fits / 2 - middle).max() / side
    if fits < 0.75 * side or moved > 0.14:
        return None
    box = (*corner, *(corner + fits))
    return picture.convert("RGB").resize((CROP_PX, CROP_PX), Image.LANCZOS, box)


def sentence(facts, keep, opening):
    """A caption with those of the facts that `keep` names."""
    f = {key: (value if key in keep else None) for key, value in facts.items()}
    group, sex = f["age_group"], f["sex"]
    noun = NOUNS[sex].get(group) or ADULT[sex]
    words = [f["expression"]] + ([group] if group in ("young", "middle-aged", "old") else [])
    words += ["bald"] if f["hair"] == "bald" else []
    words += [f["ethnicity"]] if f["ethnicity"] else []
    words = [str(word) for word in words if word]
    hair = f["hair"] if f["hair"] != "bald" else None
    if f["style"] and f["style"].endswith(" hair"):
        hair = f["style"].removesuffix("hair") + (hair or "hair")
        style = None
    else:
        style = f["style"]
    things = [thing for thing in (hair, style, f["facial_hair"], f["accessory"], f["makeup"]) if thing]
    text = " ".join([*words, noun])
    text = ("an " if text[0].lower() in "aeiou" else "a ") + text
    if things:
        text += " with " + " and ".join([", ".join(things[:-1]), things[-1]] if things[:-1] else things)
    return f"{opening} of {text}"


def sentences(facts, monochrome, draw):
    rare = [key for key in ("hair", "style", "accessory", "facial_hair", "expression", "makeup") if facts[key]]
    keeps = [
        {"sex", "age_group", *rare},
        {"sex", *rare},
        {"sex", "age_group", "ethnicity", *(rare[:1] if draw.random() < 0.5 else [])},
    ]
    found = []
    for keep in keeps[:N_SENTENCES]:
        opening = "a black and white photo" if monochrome else draw.choice(["a photo", "a photo", "a portrait"])
        found.append(sentence(facts, keep, str(opening)))
    return found


def main(faces, annotations, aligned, out):
    rows = {row["file_name"]: row for row in map(json.loads, open(faces / "metadata.jsonl"))}
    seen = [line for line in map(json.loads, open(annotations)) if line["file"] in rows]
    metadata = [rows[line["file"]] for line in seen]
    only = [line["faces"][0] if line.get("faces") and len(line["faces"]) == 1 else None for line in seen]
    crops = {line["file"]: line["crops"] for line in map(json.loads, open(aligned))}
    groups = groups_of(metadata, [face and face["embedding"]["values"] for face in only])
    counts, people = {}, set()
    for part in ("train", "held-out"):
        (out / part).mkdir(parents=True, exist_ok=True)
    with open(out / "attributes.jsonl", "w") as attributes, open(out / "train/metadata.jsonl", "w") as train, \
            open(out / "held-out/metadata.jsonl", "w") as held_out:
        for line, row, of in zip(seen, metadata, groups):
            if (group := row["attributes"].get("group")) in people:
                continue  # the same picture, turned or spoiled
            if group:
                people.add(group)
            facts = known(row, line)
            if facts is None or len(crops.get(line["file"], [])) != 1:
                continue
            with Image.open(faces / line["file"]) as picture:
                crop = cut(picture, crops[line["file"]][0])
            if crop is None:
                continue
            monochrome = bool(np.ptp(np.asarray(crop, np.float32), axis=2).mean() < 6)
            digest = int(hashlib.sha256(metadata[of]["file_name"].encode()).hexdigest()[:8], 16)
            part = "held-out" if digest % HELD_OUT == 0 else "train"
            name = line["file"].replace("/", "-").rsplit(".", 1)[0]
            draw = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
            written, file = sentences(facts, monochrome, draw), held_out if part == "held-out" else train
            for i, text in enumerate(written):
                crop.save(out / part / f"{name}-{i}.png")
                file.write(json.dumps({"file_name": f"{name}-{i}.png", "text": text}) + "\n")
            attributes.write(json.dumps({"file_name": f"{part}/{name}-0.png", "monochrome": monochrome, **facts}) + "\n")
            counts[part] = counts.get(part, 0) + 1
    print(counts)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
