"""Loads every export with the tool it is for, and compares counts and pixels with the pictures it was made of.

    pip install datasets webdataset pycocotools mlcroissant pandas pyarrow opencv-python-headless
    python reference/check_exports.py TRONIE FOLDER --annotations FILE.jsonl [--masks DIR]

TRONIE is the program. FiftyOne and ultralytics are used where they are installed; else the published description of their
layouts is read strictly. Prints one line per format and fails at the first difference.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

ENDINGS = {".png", ".jpg", ".jpeg", ".webp"}
SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


def pixels(picture):
    """A hash of what a picture shows."""
    if isinstance(picture, bytes):
        picture = Image.open(io.BytesIO(picture))
    elif not isinstance(picture, Image.Image):
        picture = Image.open(picture)
    rgb = np.asarray(picture.convert("RGB"))
    return hashlib.sha256(str(rgb.shape).encode() + rgb.tobytes()).hexdigest()


def pictures_below(folder):
    return [path for path in sorted(Path(folder).rglob("*")) if path.suffix.lower() in ENDINGS]


def same(found, expected, what):
    assert Counter(found) == Counter(expected), f"{what}: {len(list(found))} pictures, expected {sum(Counter(expected).values())}"


class Source:
    """What is exported: the hashes of each split."""

    def __init__(self, folder, lines):
        self.splits = {}
        self.rows = {}
        for name, row in lines.items():
            split = SPLITS.get(row.get("split") or name.split("/")[0], "train")
            value = pixels(Path(folder) / name)
            self.splits.setdefault(split, []).append(value)
            self.rows[value] = row

    def all(self):
        return [value for values in self.splits.values() for value in values]


def lines_of(folder):
    path = Path(folder) / "metadata.jsonl"
    if path.exists():
        rows = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        return {row["file_name"]: row for row in rows}
    lines = {}
    for name in pictures_below(folder):
        caption = name.with_suffix(".txt")
        text = {"text": caption.read_text().strip()} if caption.exists() else {}
        lines[name.relative_to(folder).as_posix()] = text
    for path in Path(folder).glob("*/metadata.jsonl"):
        for row in map(json.loads, path.read_text().splitlines()):
            lines[f"{path.parent.name}/{row['file_name']}"] = row
    return lines


def check_imagefolder(out, source):
    import datasets

    for way in ({"path": "imagefolder", "data_dir": str(out)}, {"path": str(out)}):
        loaded = datasets.load_dataset(**way)
        assert set(loaded) == set(source.splits), f"splits {set(loaded)}"
        for split, rows in loaded.items():
            same([pixels(row["image"]) for row in rows], source.splits[split], f"imagefolder {split}")
            for row in rows:
                expected = source.rows[pixels(row["image"])]
                assert expected.get("text") in (None, row.get("text")), "text"


def check_parquet(out, source):
    import datasets
    import pandas
    import pyarrow.parquet

    loaded = datasets.load_dataset(str(out))
    for split, rows in loaded.items():
        assert isinstance(rows.features["image"], datasets.Image), rows.features
        same([pixels(row["image"]) for row in rows], source.splits[split], f"parquet {split}")
        for row in rows:
            expected = source.rows[pixels(row["image"])]
            for key in ("seed", "text", "attributes"):
                if expected.get(key) is not None and key in row:
                    assert row[key] == expected[key], (key, row[key], expected[key])
    for path in (out / "data").glob("*.parquet"):
        table = pandas.read_parquet(path)
        assert len(table) == pyarrow.parquet.read_table(path).num_rows
        same([pixels(cell["bytes"]) for cell in table["image"]], source.splits[path.name.split("-")[0]], "pandas")


def check_webdataset(out, source):
    import webdataset

    for split, expected in source.splits.items():
        shards = sorted(str(path) for path in out.glob(f"{split}-*.tar"))
        samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pilrgb"))
        image = lambda sample: next(sample[key] for key in ("png", "jpg", "jpeg", "webp") if key in sample)
        same([pixels(image(sample)) for sample in samples], expected, f"webdataset {split}")
        for sample in samples:
            text = source.rows[pixels(image(sample))].get("text")
            assert text is None or (sample["txt"] == text and sample["json"]["text"] == text), "caption"


def check_csv(out, source):
    import pandas

    table = pandas.read_csv(out / "metadata.csv")
    same([pixels(out / name) for name in table["file_name"]], source.all(), "csv")
    with open(out / "metadata.csv", newline="") as file:
        for row in csv.reader(file):
            for cell in row:
                is_number = cell.replace(".", "", 1).replace("-", "", 1).replace("e", "", 1).isdigit()
                assert is_number or cell[:1] not in tuple("=+-@\t\r"), cell


def check_croissant(out, source):
    import mlcroissant

    dataset = mlcroissant.Dataset(str(out / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors, dataset.metadata.ctx.issues.report()
    print("   ", len(dataset.metadata.ctx.issues.warnings), "warnings:", sorted(dataset.metadata.ctx.issues.warnings))
    records = list(dataset.records("pictures"))
    name = lambda record: record["pictures/file_name"]
    text = lambda value: value.decode() if isinstance(value, bytes) else value
    same([pixels(out / text(name(record))) for record in records], source.all(), "croissant")


def check_card(out, source):
    import yaml

    text = (out / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["pretty_name"] and front["license"] and "synthetic" in front["tags"]
    assert f"{len(source.all())} pictures" in text
    Image.open(out / "samples.png").load()


def check_kohya(out, source):
    for split, expected in source.splits.items():
        folders = list((out / split).iterdir())
        assert all(folder.name.split("_")[0].isdigit() for folder in folders)
        same(map(pixels, pictures_below(out / split)), expected, f"kohya {split}")
        for path in pictures_below(out / split):
            text = source.rows[pixels(path)].get("text")
            assert text is None or path.with_suffix(".txt").read_text() == text


def check_coco(out, source):
    from pycocotools.coco import COCO

    files = list((out / "annotations").glob("*.json"))
    assert files
    for path in files:
        coco = COCO(path)
        split = path.stem.split("_")[-1]
        images = coco.loadImgs(coco.getImgIds())
        same([pixels(out / split / image["file_name"]) for image in images], source.splits[split], path.name)
        for image in images:
            assert Image.open(out / split / image["file_name"]).size == (image["width"], image["height"])
        for annotation in coco.loadAnns(coco.getAnnIds()):
            x, y, width, height = annotation["bbox"]
            size = coco.imgs[annotation["image_id"]]
            assert 0 <= x and 0 <= y and x + width <= size["width"] + 0.02 and y + height <= size["height"] + 0.02
            category = coco.cats[annotation["category_id"]]
            if "keypoints" in annotation:
                assert len(annotation["keypoints"]) == 3 * len(category["keypoints"])
            else:
                area = int(coco.annToMask(annotation).sum())
                assert abs(area - annotation["area"]) <= 0.15 * annotation["area"] + 12, (area, annotation["area"])


def check_yolo_seg(out, source):
    import yaml

    data = yaml.safe_load((out / "data.yaml").read_text())
    assert {"train", "val", "names"} <= set(data), data
    for split, folder in (("train", "train"), ("validation", "val"), ("test", "test")):
        paths = pictures_below(out / "images" / folder) if (out / "images" / folder).exists() else []
        same(map(pixels, paths), source.splits.get(split, []), f"yolo {split}")
        for path in paths:
            label = out / "labels" / folder / (path.stem + ".txt")
            for line in label.read_text().splitlines():
                number, *places = line.split()
                places = np.array(places, np.float64)
                assert int(number) in data["names"] and len(places) >= 6 and len(places) % 2 == 0
                assert places.min() >= 0 and places.max() <= 1
    try:
        from ultralytics.data.dataset import YOLODataset
    except ImportError as error:
        return print("    ultralytics is not complete here:", error)
    found = YOLODataset(img_path=str(out / data["train"]), data={**data, "path": str(out)}, task="segment", augment=False)
    assert len(found.labels) == len(source.splits["train"])
    assert not list((out / "labels").glob("*.corrupt")), "ultralytics"


def check_masks(out, source):
    names = json.loads((out / "labels.json").read_text())
    for split, expected in source.splits.items():
        paths = pictures_below(out / "data" / split)
        same(map(pixels, paths), expected, f"masks {split}")
        for path in paths:
            mask = Image.open(out / "labels" / split / (path.stem + ".png"))
            assert mask.mode == "P" and mask.size == Image.open(path).size
            classes = np.unique(np.asarray(mask))
            assert set(map(str, classes)) <= set(names)
            palette = np.array(mask.getpalette()[: 3 * len(names)]).reshape(-1, 3)
            assert palette.tolist() == [names[str(number)]["color"] for number in range(len(names))]


def check_sfhq(out, source):
    paths = pictures_below(out / "images")
    hashes = list(map(pixels, paths))
    assert not Counter(hashes) - Counter(source.all()) and paths
    stems = [path.stem for path in paths]
    # explore_dataset.py pairs sorted lists.
    for folder in ("landmarks", "pretrained_features", "segmentations"):
        if (out / folder).exists():
            assert [path.stem for path in sorted((out / folder).iterdir())] == stems, folder
    for path in (out / "landmarks").iterdir():
        points = np.load(path, allow_pickle=False)["landmarks"]
        assert points.shape[1] == 2 and points.dtype == np.float32 and len(points) in (68, 106, 110)
    print("   ", len(paths), "of", len(source.all()), "pictures have landmarks")


def check_fiftyone(out, source):
    samples = json.loads((out / "samples.json").read_text())["samples"]
    assert "version" not in json.loads((out / "metadata.json").read_text())
    same([pixels(out / sample["filepath"]) for sample in samples], source.all(), "fiftyone")
    for sample in samples:
        size = sample["metadata"]["width"], sample["metadata"]["height"]
        assert Image.open(out / sample["filepath"]).size == size
        for face in sample.get("faces", {}).get("detections", []):
            x, y, width, height = face["bounding_box"]
            assert 0 <= x <= 1 and 0 <= y <= 1 and x + width <= 1.001 and y + height <= 1.001
    try:
        from fiftyone.utils.data.importers import LegacyFiftyOneDatasetImporter
    except ImportError as error:
        return print("    FiftyOne is not complete here:", error)
    # What FiftyOneDatasetImporter hands datasets without a version to; it needs no database.
    with LegacyFiftyOneDatasetImporter(str(out)) as importer:
        loaded = list(importer)
    same([pixels(sample.filepath) for sample in loaded], source.all(), "fiftyone")
    for sample in loaded:
        faces = sample.faces.detections if sample.has_field("faces") else []
        assert all(face.label == "face" and len(face.bounding_box) == 4 for face in faces)


CHECKS = {name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("tronie")
    parser.add_argument("folder")
    parser.add_argument("--annotations")
    parser.add_argument("--masks")
    parser.add_argument("--only", nargs="*", default=list(CHECKS))
    args = parser.parse_args()
    # The cache of `datasets` would answer for an earlier export in a folder of the same name.
    os.environ["HF_HOME"] = tempfile.mkdtemp()
    source = Source(args.folder, lines_of(args.folder))
    options = ["--annotations", args.annotations] if args.annotations else []
    options += ["--masks", args.masks] if args.masks else []
    options += ["--licence", "CC0-1.0", "--published", "2026-01-29"]
    for name in args.only:
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "out"
            command = [args.tronie, "--quiet", "dataset", "export", args.folder, "--format", name, "-o", out, *options]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            manifest = (out / "manifest.sha256").read_text().splitlines()
            for line in manifest:
                expected, file = line.split("  ", 1)
                assert hashlib.sha256((out / file).read_bytes()).hexdigest() == expected, file
            CHECKS[name](out, source)
            print(f"{name}: {len(manifest)} files, {len(source.all())} pictures, all as they were")
