"""How near `tronie faces compose` comes to a face without defects.

Each clean portrait becomes three versions: one with damaged eyes, one with a damaged mouth, one with a damaged nose; the second and third are also
turned, moved and lit a little differently, as other renderings of one prompt are. The composition is compared with the clean portrait by SSIM
(Wang et al. 2004, Gaussian window of sigma 1.5) inside the three regions.

    python reference/bench_compose.py --tronie target/release/tronie --faces FOLDER --lines FACES.jsonl --models-dir NETS

FACES.jsonl is `tronie faces annotate FOLDER`: where the damage goes is read from its landmarks.
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

PARTS = {"eyes": range(36, 48), "mouth": range(48, 68), "nose": range(27, 36)}
KINDS = ["blur", "noise", "mosaic", "swirl"]


def box(points, part, size, grow):
    xy = np.array([points[i] for i in PARTS[part]])
    margin = grow * np.ptp(xy[:, 0])
    left, top = np.maximum(xy.min(0) - margin, 0).astype(int)
    right, bottom = np.minimum(xy.max(0) + margin, size).astype(int)
    return left, top, right, bottom


def damaged(image, area, kind, rng):
    left, top, right, bottom = area
    out = image.copy()
    part = image[top:bottom, left:right].astype(float)
    height, width = part.shape[:2]
    if kind == "blur":
        part = ndimage.gaussian_filter(part, (4, 4, 0))
    elif kind == "noise":
        part = part + rng.normal(0, 40, part.shape)
    elif kind == "mosaic":
        rows, columns = np.arange(height) // 7 * 7, np.arange(width) // 7 * 7
        part = part[rows][:, columns]
    else:
        y, x = np.mgrid[:height, :width].astype(float)
        cy, cx = height / 2, width / 2
        distance = np.hypot((y - cy) / cy, (x - cx) / cx)
        angle = 2.5 * np.clip(1 - distance, 0, 1)
        sy = cy + (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        sx = cx + (y - cy) * np.sin(angle) + (x - cx) * np.cos(angle)
        part = np.stack([ndimage.map_coordinates(part[..., c], [sy, sx], order=1, mode="nearest") for c in range(3)], -1)
    out[top:bottom, left:right] = np.clip(part, 0, 255).round().astype(np.uint8)
    return out


def rendered(image, rng):
    """Another light, a small turn and shift."""
    picture = Image.fromarray(image).rotate(rng.uniform(-2, 2), Image.BICUBIC, translate=tuple(rng.uniform(-4, 4, 2)))
    lit = np.asarray(picture).astype(float) * rng.uniform(0.93, 1.07) + rng.uniform(-6, 6)
    return np.clip(lit, 0, 255).round().astype(np.uint8)


def ssim_map(a, b):
    def smooth(x):
        return ndimage.gaussian_filter(x, 1.5, truncate=3.5)

    a, b = a @ [0.299, 0.587, 0.114], b @ [0.299, 0.587, 0.114]
    ma, mb = smooth(a), smooth(b)
    va, vb, cov = smooth(a * a) - ma**2, smooth(b * b) - mb**2, smooth(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * ma * mb + c1) * (2 * cov + c2)) / ((ma**2 + mb**2 + c1) * (va + vb + c2))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tronie", default="target/release/tronie")
    parser.add_argument("--faces", required=True, type=Path)
    parser.add_argument("--lines", required=True, type=Path)
    parser.add_argument("--models-dir", required=True)
    parser.add_argument("-n", type=int, default=50)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        clean, areas = {}, {}
        for line in args.lines.open():
            record = json.loads(line)
            faces = record.get("faces") or []
            if len(clean) == args.n or len(faces) != 1 or faces[0]["quality"]["face_px"] < 120:
                continue
            if abs(faces[0]["head_pose"]["yaw_deg"]) > 25:
                continue
            left, top, right, bottom = faces[0]["box"]
            if min(left, top) < 0 or right > record["width_px"] or bottom > record["height_px"]:
                continue
            name = Path(record["file"]).stem + ".png"
            image = np.asarray(Image.open(args.faces / record["file"]).convert("RGB"))
            points, size = faces[0]["landmarks_68"], np.array(image.shape[1::-1])
            kind = KINDS[len(clean) % len(KINDS)]
            clean[name] = (image, kind)
            areas[name] = {part: box(points, part, size, 0.1) for part in PARTS}
            for version, part in zip("abc", ["eyes", "mouth", "nose"], strict=True):
                picture = damaged(image, areas[name][part], kind, rng)
                picture = picture if version == "a" else rendered(picture, rng)
                path = folder / version / name
                path.parent.mkdir(exist_ok=True)
                Image.fromarray(picture).save(path)
        command = [args.tronie, "faces", "compose", *(str(folder / v) for v in "abc"), "-o", str(folder / "out")]
        command += ["--models-dir", args.models_dir, "--regions", "eyes,nose,mouth", "--json", "-q"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        seams, pasted, drifts, nearer, table = [], [], [], 0, []
        for record in map(json.loads, lines):
            if "regions" not in record:
                print("left out:", record)
                continue
            name = Path(record["path"]).name
            image, kind = clean[name]
            pictures = [np.asarray(Image.open(folder / v / name)) for v in "abc"] + [np.asarray(Image.open(record["path"]))]
            scores = []
            for picture in pictures:
                found = ssim_map(picture.astype(float), image.astype(float))
                scores.append(np.mean([found[t:b, l:r].mean() for l, t, r, b in areas[name].values()]))
            nearer += scores[-1] > max(scores[:-1])
            if scores[-1] <= max(scores[:-1]):
                print(f"not nearer: {name}, {kind}: {max(scores[:-1]):.3f} against {scores[-1]:.3f}")
            table.append((kind, max(scores[:-1]), scores[-1], [r["version"] for r in record["regions"]]))
            seams += [r["seam"] for r in record["regions"] if "seam" in r]
            pasted += [r["seam_pasted"] for r in record["regions"] if "seam_pasted" in r]
            drifts.append(record["identity_drift"])
        for kind in KINDS:
            rows = [row for row in table if row[0] == kind]
            picked = np.mean([[v[0] != 0, v[1] != 2, v[2] != 1] for *_, v in rows], 0)
            best, made = np.mean([row[1] for row in rows]), np.mean([row[2] for row in rows])
            print(f"{kind}: best single {best:.3f}, composed {made:.3f}; undamaged eyes {picked[0]:.2f} nose {picked[1]:.2f} mouth {picked[2]:.2f}")
        print(f"nearer than every version: {nearer} of {len(table)}")
        print(f"seam: mean {np.mean(seams):.2f}, largest {np.max(seams):.2f}; pasted {np.mean(pasted):.2f}, {np.max(pasted):.2f}")
        if all(drift is not None for drift in drifts):
            print(f"identity drift from the first version: mean {np.mean(drifts):.3f}")


if __name__ == "__main__":
    main()
