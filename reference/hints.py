"""Goldens of tronie-image's edges, from OpenCV: testdata/hints/.

    python reference/hints.py
"""

import cv2
import numpy as np

import golden
from golden_weights import inputs

SIZE = (37, 53)


def picture():
    """Smooth shapes with some noise, so that there are edges of every direction and ties."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
    disc = 120.0 * (np.hypot(x - 20, y - 18) < 11)
    wedge = 90.0 * (y > 0.6 * x + 4)
    stripes = 40.0 * ((x // 7) % 2)
    noise = 6.0 * inputs("noise", (3, *SIZE)).numpy()
    channels = [20 + disc + noise[0], 60 + wedge + noise[1], 40 + stripes + 0.5 * disc + noise[2]]
    return np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)


if __name__ == "__main__":
    pixels = picture()
    stored = {"pixels": pixels}
    for low, high in [(100, 200), (30, 90), (200, 100), (0, 0)]:
        stored[f"canny.{low}.{high}"] = cv2.Canny(pixels, low, high)
    note = f"a picture of {SIZE[1]}x{SIZE[0]} pixels and what cv2.Canny of OpenCV {cv2.__version__} makes of it"
    golden.save("hints", "canny", stored, seed=None, tolerance=0.0, note=note)
