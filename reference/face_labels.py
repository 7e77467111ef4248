"""Labels for the networks inside the program: what their teachers say, what prompts say, and masks that are derived here.

    python reference/face_labels.py FACES ANNOTATIONS OUT

FACES is a folder with metadata.jsonl (file_name, attributes, group, duplicate_of, polygons_file), ANNOTATIONS what
`tronie faces annotate FACES --use facemesh468` has made of it with the teachers' files. OUT gets `labels.jsonl`, which
is every line of the annotations with an object `labels`, and `masks/`.

Masks are 256x256 pictures of the whole (square) picture. Eyes, brows, nose and mouth are polygons drawn by hand where
there are some, else the 68 landmarks' outlines. Skin is the outline of the mesh. For hair and background there is no
label at all: seeds above the forehead and at the border give colors, a mixture of Gaussians of color and place each
(Rother et al. 2004, "GrabCut", without its cut), and what is the likelier after smoothing stays. Pixels that are
neither surely are left out (255).

Whole groups are held out: pictures of one person, duplicates, and faces that the teacher takes for one person.
"""

import hashlib
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import binary_dilation, gaussian_filter
from skimage.color import rgb2lab
from skimage.draw import polygon2mask
from sklearn.mixture import GaussianMixture

SIDE = 256
BACKGROUND, SKIN, BROW, EYE, NOSE, MOUTH, HAIR, UNKNOWN = 0, 1, 2, 3, 4, 5, 6, 255
# https://github.com/google-ai-edge/mediapipe/blob/v0.10.14/mediapipe/python/solutions/face_mesh_connections.py, FACEMESH_FACE_OVAL
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
        152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
# Classes of the polygons: eye, eyebrow, mouth, nose.
POLYGON_CLASSES = {0: EYE, 1: BROW, 2: MOUTH, 3: NOSE}
HELD_OUT = 6  # one group in so many
SAME_PERSON = 0.8  # cosine of the teacher's embeddings; lower ones chain hundreds together


def groups_of(rows, embeddings):
    """A representative for each row: connected by duplicate_of, group, source picture or embedding."""
    parent = list(range(len(rows)))

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    by_key = {}
    for i, row in enumerate(rows):
        keys = [("file", row["file_name"]), ("file", row.get("duplicate_of") or row["file_name"])]
        attributes = row["attributes"]
        keys += [(key, attributes[key]) for key in ("group", "source_image") if attributes.get(key)]
        for key in keys:
            parent[root(i)] = root(by_key.setdefault(key, i))
    known = [i for i, e in enumerate(embeddings) if e is not None]
    matrix = np.array([embeddings[i] for i in known], np.float32)
    for a, b in zip(*np.nonzero(np.triu(matrix @ matrix.T > SAME_PERSON, 1))):
        parent[root(known[a])] = root(known[b])
    return [root(i) for i in range(len(rows))]


def colors_of(text):
    for word, name in [("bald", "bald"), ("blond", "blond"), ("yellow", "blond"), ("red", "red"), ("orange", "red"),
                       ("ginger", "red"), ("white", "gray"), ("gray", "gray"), ("grey", "gray"), ("silver", "gray"),
                       ("black", "dark"), ("brown", "dark"), ("dark", "dark"), ("blue", "colored"),
                       ("green", "colored"), ("purple", "colored"), ("pink", "colored")]:
        if word in text.split() or word in text.replace("-", " ").split():
            return name
    return None


def attributes_of(row):
    """What the prompt or query asked for, where it says something."""
    a = row["attributes"]
    words = (row.get("caption") or "").lower().replace(",", " ").split()
    female, male = {"woman", "girl", "female", "lady", "women"}, {"man", "boy", "male", "men"}
    sex = "female" if female & set(words) else "male" if male & set(words) else None
    accessory, hair, expression = (a.get(key) or "" for key in ("accessory", "hair", "expression"))
    is_bad = row["file_name"].startswith("tiles_bad")
    glasses = None if is_bad else "glasses" in accessory or "glasses" in " ".join(words)
    smile = None
    if any(word in expression for word in ("smil", "happy", "laugh", "excited", "enthusiastic")):
        smile = True
    elif any(word in expression for word in ("sad", "angry", "neutral", "grim", "mad", "disgust", "fear", "frown", "cry")):
        smile = False
    return {"sex": sex, "glasses": glasses, "smile": smile, "hair": colors_of(hair.lower())}


def polygons_of(faces, row):
    if not row.get("polygons_file"):
        return []
    lines = (faces / row["polygons_file"]).read_text().split("\n")
    numbers = [[float(word) for word in line.split()] for line in lines if line.strip()]
    return [(POLYGON_CLASSES[int(line[0])], np.array(line[1:]).reshape(-1, 2) * SIDE) for line in numbers]


def drawn(points):
    return polygon2mask((SIDE, SIDE), np.asarray(points)[:, ::-1])


def features_of(landmarks, polygons):
    """(class, mask) in the order of painting."""
    if polygons:
        return [(c, drawn(p)) for c, p in sorted(polygons, key=lambda row: row[0])]
    thick = np.linalg.norm(landmarks[45] - landmarks[36]) * 0.035
    brows = []
    for part in (landmarks[17:22], landmarks[22:27]):
        brows.append(np.concatenate([part + [0, -thick], (part + [0, thick])[::-1]]))
    wing = (landmarks[35] - landmarks[31]) * 0.18
    nose = [landmarks[27], landmarks[35] + wing + [0, -2 * thick], landmarks[35] + wing / 2, landmarks[33],
            landmarks[31] - wing / 2, landmarks[31] - wing + [0, -2 * thick]]
    rows = [(BROW, brow) for brow in brows] + [(NOSE, nose), (EYE, landmarks[36:42]), (EYE, landmarks[42:48]), (MOUTH, landmarks[48:60])]
    return [(c, drawn(p)) for c, p in rows]


def likelihood(values, seeds):
    n = min(3, max(1, len(seeds) // 40))
    mixture = GaussianMixture(n, reg_covar=4.0, max_iter=20, random_state=0, init_params="k-means++")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture.fit(seeds[:: max(1, len(seeds) // 1500)])
    return mixture.score_samples(values)


def mask_of(picture, face, polygons, hair):
    scale = SIDE / np.array(picture.size)
    landmarks = np.array(face["landmarks_68"]) * scale
    oval = np.array(face["mesh_468"])[OVAL, :2] * scale
    center, height = oval.mean(0), np.ptp(oval[:, 1])
    small = np.asarray(picture.resize((SIDE, SIDE), Image.LANCZOS).convert("RGB"))
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    skin, chin = drawn(oval), oval[:, 1].max()
    lab = rgb2lab(small)
    place = np.stack([(x - center[0]) / height * 12, (y - center[1]) / height * 12], -1)
    values = np.concatenate([lab, place], -1).reshape(-1, 5)
    wide = drawn(center + (oval - center) * 1.32)
    above = y < center[1] - 0.25 * height
    crown = wide & ~drawn(center + (oval - center) * 1.1) & above
    border = (x < 8) | (x >= SIDE - 8) | (y < 5)
    far = border & (np.hypot(x - center[0], y - center[1]) > 0.95 * height) & (y < chin)
    inner = drawn(center + (oval - center) * 0.85)
    body = (y > chin + 0.12 * height) & (np.abs(x - center[0]) < 0.5 * height)
    out = np.full((SIDE, SIDE), UNKNOWN, np.uint8)
    if hair == "bald":
        out[wide & ~skin & above] = UNKNOWN
        out[far | body] = BACKGROUND
    elif crown.sum() > 60 and far.sum() > 60:
        rest = [likelihood(values, values[m.ravel()]) for m in (far, inner, body) if m.sum() > 40]
        odds = likelihood(values, values[crown.ravel()]) - np.max(rest, 0)
        odds = gaussian_filter(np.clip(odds.reshape(SIDE, SIDE), -6, 6), 2.5)
        reach = np.hypot((x - center[0]) / 1.0, (y - center[1]) / 1.25) < 1.05 * height
        out[(odds < -1.0) | ~reach] = BACKGROUND
        out[(odds > 1.0) & reach & ~inner] = HAIR
    out[skin & (out != HAIR)] = SKIN
    out[inner] = SKIN
    out[binary_dilation(skin, iterations=2) & ~skin & (out == BACKGROUND)] = UNKNOWN
    for c, mask in features_of(landmarks, polygons):
        out[mask] = c
    return out


def main(faces, annotations, out):
    (out / "masks").mkdir(parents=True, exist_ok=True)
    rows = {row["file_name"]: row for row in map(json.loads, open(faces / "metadata.jsonl"))}
    seen = [line for line in map(json.loads, open(annotations)) if line["file"] in rows]
    metadata = [rows[line["file"]] for line in seen]
    only = [line["faces"][0] if line.get("faces") and len(line["faces"]) == 1 else None for line in seen]
    groups = groups_of(metadata, [face and face["embedding"]["values"] for face in only])
    with open(out / "labels.jsonl", "w") as lines:
        for line, row, face, group in zip(seen, metadata, only, groups):
            person = metadata[group]["file_name"]
            digest = int(hashlib.sha256(person.encode()).hexdigest()[:8], 16)
            labels = {"person": person, "held_out": digest % HELD_OUT == 0, **attributes_of(row)}
            if face:
                with Image.open(faces / line["file"]) as picture:
                    mask = mask_of(picture, face, polygons_of(faces, row), labels["hair"])
                labels["mask"] = "masks/" + line["file"].replace("/", "_").rsplit(".", 1)[0] + ".png"
                Image.fromarray(mask).save(out / labels["mask"], optimize=True)
            for found in line.get("faces") or []:
                found.pop("mesh_468", None)
            lines.write(json.dumps({**line, "labels": labels}) + "\n")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
