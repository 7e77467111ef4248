"""Pictures that are not plain RGB: testdata/images/, written and read by Pillow.

Each file, and beside it the RGB that Pillow makes of it.

    python reference/pictures.py
"""

import numpy as np
from PIL import Image, ImageOps

import golden

FOLDER = golden.TESTDATA / "images"
SIZE = (24, 16)


def gradient():
    y, x = np.mgrid[0:SIZE[1], 0:SIZE[0]]
    return np.stack([x * 10, y * 15, 120 + x * 2 + y], axis=-1).astype(np.uint8)


def write(name, image, **options):
    """Writes a file and what it shows."""
    path = FOLDER / name
    image.save(path, **options)
    golden.record(path, seed=None, tolerance=0.0, note=f"a {image.mode} picture of {image.size[0]}x{image.size[1]} pixels")
    read = ImageOps.exif_transpose(Image.open(path))
    if read.mode == "I;16":
        read = Image.fromarray(np.round(np.asarray(read) / 257).astype(np.uint8))
    if read.mode == "RGBA":
        read = Image.alpha_composite(Image.new("RGBA", read.size, (10, 200, 30, 255)), read)
    return np.asarray(read.convert("RGB"))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    rgb = Image.fromarray(gradient())
    alpha = (np.arange(SIZE[0])[None, :] * 11 + np.zeros((SIZE[1], 1))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    sixteen = (np.arange(SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0]) * 170).astype(np.uint16)
    golden.save("images", "rgb", {
        "cmyk.jpg": write("cmyk.jpg", rgb.convert("CMYK"), quality=95),
        "rotated.jpg": write("rotated.jpg", rgb, quality=95, exif=exif),
        "alpha.png": write("alpha.png", Image.fromarray(np.dstack([gradient(), alpha]))),
        "grey16.png": write("grey16.png", Image.fromarray(sixteen)),
        "palette.png": write("palette.png", rgb.quantize(16)),
    }, seed=None, tolerance=0.0, note="the RGB of each picture; transparent ones on (10, 200, 30)")
