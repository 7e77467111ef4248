"""Goldens of tronie-evaluate, from scikit-image, OpenCV, numpy and scipy: testdata/evaluate/.

    python reference/evaluate.py

The features and pictures are computed on both sides from their names, so only the numbers are stored.
"""

import cv2
import numpy as np
import scipy.linalg
from skimage.metrics import structural_similarity

import golden
from golden_weights import inputs

NEAREST = 3


def wave(number, width, height):
    """The picture of src/ssim/tests.rs, RGB."""
    y, x, channel = np.mgrid[:height, :width, :3]
    mixed = (x * (number % 7 + 3) + y * (number % 5 + 2) + channel * 40 + (x * y * number) % 31) % 256
    return mixed.astype(np.uint8)


def ssim(a, b, coursework):
    bgr = [picture[:, :, ::-1] for picture in (a, b)]
    if coursework:
        bgr = [cv2.resize(picture, (256, 256)) for picture in bgr]
    grey = [cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_BGR2GRAY) for picture in bgr]
    if coursework:
        return structural_similarity(*grey)
    return structural_similarity(
        *[picture.astype(np.float64) for picture in grey],
        data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )


def features(name, n, width, shift, stretch):
    """The features of src/distribution/tests.rs."""
    values = inputs(name, (n, width)).numpy().astype(np.float64)
    return shift + stretch * (values + 0.3 * values**2 * (np.arange(width) % 3))


def fid(a, b):
    """The formula of pytorch-fid's calculate_frechet_distance."""
    difference = a.mean(0) - b.mean(0)
    covariances = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1])
    return difference @ difference + np.trace(covariances[0] + covariances[1] - 2.0 * np.real(root))


def kid(a, b):
    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1.0) ** 3

    def within(x):
        values = kernel(x, x)
        return (values.sum() - np.trace(values)) / (len(x) * (len(x) - 1))

    return within(a) + within(b) - 2.0 * kernel(a, b).mean()


def inside(of, among):
    """Share of the rows of one set that lie within the radius of a row of the other."""
    own = np.linalg.norm(among[:, None] - among[None], axis=-1)
    np.fill_diagonal(own, np.inf)
    radii = np.sort(own, axis=1)[:, NEAREST - 1]
    return (np.linalg.norm(of[:, None] - among[None], axis=-1) <= radii).any(1).mean()


def spread(a):
    unit = a / np.linalg.norm(a, axis=1, keepdims=True)
    cosines = unit @ unit.T
    n = len(a)
    values = np.linalg.eigvalsh(cosines / n)
    values = values[values > 1e-15]
    return (1.0 - cosines)[~np.eye(n, dtype=bool)].mean(), np.exp(-(values * np.log(values)).sum())


if __name__ == "__main__":
    stored = {"standard": [], "coursework": []}
    for pair in range(50):
        size = 32 + pair % 9, 24 + pair % 5
        pictures = wave(pair, *size), wave(pair * 3 + 1, *size)
        for name, values in stored.items():
            values.append(ssim(*pictures, name == "coursework"))
    arrays = {name: np.array(values, np.float64) for name, values in stored.items()}
    note = "structural similarity of 50 pairs by scikit-image, squeezed by OpenCV for the coursework's settings"
    golden.save("evaluate", "ssim", arrays, seed=None, tolerance=1e-6, note=note)

    stored = {}
    for case, (n, m, width) in {"many": (300, 260, 24), "few": (60, 80, 96)}.items():
        a, b = features("a", n, width, 0.0, 1.0), features("b", m, width, 0.1, 1.2)
        stored[case] = np.array([fid(a, b), kid(a, b), inside(a, b), inside(b, a), *spread(a)], np.float64)
        print(case, stored[case])
    note = "FID, KID, precision, recall, mean cosine distance and Vendi score of two sets"
    golden.save("evaluate", "distribution", stored, seed=None, tolerance=1e-6, note=note)
