"""Writes golden files: what the reference computed, and how to compute it again.

A golden is one safetensors file below testdata/<area>/, with a row in that folder's MANIFEST.toml:
which script made it, with which library versions and seed, and how near a test must come.

Set-up, outside the repository:  pip install -r reference/requirements.txt
"""

import hashlib
import importlib.metadata
import sys
import tomllib
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

TESTDATA = Path(__file__).resolve().parent.parent / "testdata"
LIBRARIES = ["torch", "diffusers", "transformers", "peft", "k-diffusion", "torchsde", "numpy", "prodigyopt", "bitsandbytes", "onnxruntime"]


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def save(area, name, tensors, *, seed, tolerance, note):
    """Writes testdata/<area>/<name>.safetensors and its manifest row.

    tensors: name -> torch tensor or numpy array. seed: what the script seeded with, or None.
    tolerance: largest relative error a test accepts. note: one sentence on what it is.
    """
    folder = TESTDATA / area
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    arrays = {
        key: np.ascontiguousarray(value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value))
        for key, value in tensors.items()
    }
    save_file(arrays, path)
    record(path, seed=seed, tolerance=tolerance, note=note)


def record(path, *, seed, tolerance, note):
    """Adds or replaces the manifest row of a file that is already there."""
    path = Path(path)
    script = Path(sys.argv[0]).resolve()
    versions = {}
    for library in LIBRARIES:
        if library.replace("-", "_") in sys.modules:
            versions[library] = importlib.metadata.version(library)
    row = {
        "note": note,
        "origin": "reference",
        "script": script.name,
        "script_sha256": sha256(script),
        "versions": " ".join(f"{k}={v}" for k, v in sorted(versions.items())),
        "tolerance": tolerance,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
    }
    if seed is not None:
        row["seed"] = seed
    manifest = path.parent / "MANIFEST.toml"
    rows = tomllib.loads(manifest.read_text()) if manifest.exists() else {}
    rows[path.name] = row
    lines = ["# Written by reference/golden.py; xtask goldens checks it.\n"]
    for file, fields in sorted(rows.items()):
        lines.append(f'\n["{file}"]\n')
        for key, value in fields.items():
            text = str(value) if isinstance(value, (int, float)) else '"' + str(value).replace('"', "'") + '"'
            lines.append(f"{key} = {text}\n")
    manifest.write_text("".join(lines))
