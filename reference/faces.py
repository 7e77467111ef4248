"""Goldens of tronie-faces: geometry, crops, decoders of detectors, and whole pictures through onnxruntime.

    python reference/faces.py

The pictures are those of ../shared/data/faces, decoded by tronie itself because JPEG decoders differ by a level or two:

    cargo nextest run --workspace --run-ignored only -E 'test(pictures_of_the_goldens_are_decoded)'

writes them to target/golden-faces. Networks are those of ../shared/data/nets. Everything else here is NumPy and scikit-image.
"""

import math
from pathlib import Path

import numpy as np
import onnxruntime
from golden import save
from golden_weights import inputs, unit
from PIL import Image
from skimage.transform import SimilarityTransform

ROOT = Path(__file__).resolve().parent.parent
NETS = ROOT / "../shared/data/nets"
PICTURES = ROOT / "target/golden-faces"
ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])


# ---- sampling: pixel centers at halves, rows from the top


def bilinear(picture, matrix, width, height, outside, points_per_side=1):
    """matrix: 2x3, image from crop. outside: "black", "edge" or "mirror" (np.pad's constant, edge and symmetric)."""
    offsets = (np.arange(points_per_side) + 0.5) / points_per_side
    total = np.zeros((height, width, 3))
    pad = 400
    mode = {"black": "constant", "edge": "edge", "mirror": "symmetric"}[outside]
    padded = np.pad(picture.astype(np.float64), ((pad, pad), (pad, pad), (0, 0)), mode=mode)
    for oy in offsets:
        for ox in offsets:
            x, y = np.meshgrid(np.arange(width) + ox, np.arange(height) + oy)
            u = matrix[0][0] * x + matrix[0][1] * y + matrix[0][2] - 0.5 + pad
            v = matrix[1][0] * x + matrix[1][1] * y + matrix[1][2] - 0.5 + pad
            u, v = np.clip(u, 0, padded.shape[1] - 2), np.clip(v, 0, padded.shape[0] - 2)
            left, top = np.floor(u).astype(int), np.floor(v).astype(int)
            fx, fy = (u - left)[..., None], (v - top)[..., None]
            above = padded[top, left] * (1 - fx) + padded[top, left + 1] * fx
            below = padded[top + 1, left] * (1 - fx) + padded[top + 1, left + 1] * fx
            total += above * (1 - fy) + below * fy
    return total / points_per_side**2


def square(box, factor, side_px):
    """Image from crop of the square around a box."""
    center = (box[:2] + box[2:]) / 2
    side = max(box[2] - box[0], box[3] - box[1]) * factor
    scale = side / side_px
    return np.array([[scale, 0, center[0] - side / 2], [0, scale, center[1] - side / 2]])


def arcface(points, side_px=112):
    """insightface's norm_crop: the similarity to the template, whole numbers as centers of pixels; image from crop."""
    transform = SimilarityTransform.from_estimate(points, ARCFACE * side_px / 112)
    inverse = np.linalg.inv(transform.params)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return (half @ inverse @ np.linalg.inv(half))[:2]


def ffhq(points, side_px):
    """The oriented square of FFHQ, from its description; image from crop."""
    left_eye, right_eye, _, left_mouth, right_mouth = points
    eye_avg, mouth_avg = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    eye_to_eye, eye_to_mouth = right_eye - left_eye, mouth_avg - eye_avg
    x = eye_to_eye - np.flipud(eye_to_mouth) * [-1, 1]
    x /= np.hypot(*x)
    x *= max(np.hypot(*eye_to_eye) * 2.0, np.hypot(*eye_to_mouth) * 1.8)
    y = np.flipud(x) * [-1, 1]
    corner = eye_avg + eye_to_mouth * 0.1 - x - y
    return np.stack([2 * x / side_px, 2 * y / side_px, corner], axis=1)


def iou(a, b):
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(high - low, 0))
    return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def suppress(boxes, scores, limit):
    kept = []
    for index in np.argsort(-scores, kind="stable"):
        if all(iou(boxes[index], boxes[other]) <= limit for other in kept):
            kept.append(index)
    return kept


# ---- geometry


def geometry():
    tensors = {}
    for case in range(6):
        turn = case * 0.7
        rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        noise = unit(f"points{case}", 10).reshape(5, 2) * 12
        points = ((ARCFACE - 56) @ rotation.T * (0.5 + case) + [200 + 10 * case, 150]) + noise
        points = points.astype(np.float32).astype(np.float64)
        tensors[f"{case}.points"] = points
        tensors[f"{case}.similarity"] = SimilarityTransform.from_estimate(points, ARCFACE).params[:2]
        tensors[f"{case}.arcface"] = arcface(points, 112)
        tensors[f"{case}.arcface_256"] = arcface(points, 256)
        tensors[f"{case}.ffhq"] = ffhq(points, 512)
    boxes = unit("boxes", 400).reshape(100, 4)
    centers, sides = boxes[:, :2] * 60 + 100, boxes[:, 2:] * 20 + 40
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], axis=1).astype(np.float32).astype(np.float64)
    scores = unit("scores", 100).astype(np.float32)
    tensors["boxes"], tensors["scores"] = boxes, scores
    for limit in (0.1, 0.3, 0.7):
        tensors[f"kept_{limit}"] = np.array(suppress(boxes, scores, limit))
    save("faces", "geometry", tensors, seed=None, tolerance=1e-6, note="similarities, alignments and suppressed boxes")


def crops():
    picture = np.floor((unit("picture", 40 * 30 * 3) + 1) * 127.5).reshape(30, 40, 3)
    tensors = {}
    matrices = {
        "turned": [[1.1, -0.4, 3.0], [0.4, 1.1, -5.0]],
        "enlarged": [[0.3, 0, 10.0], [0, 0.3, 8.0]],
        "reduced": [[3.7, 0, -6.0], [0, 3.1, -4.0]],
        "far_away": [[1.0, 0, 200.0], [0, 1.0, 200.0]],
    }
    for name, matrix in matrices.items():
        tensors[f"{name}.matrix"] = np.array(matrix)
        for outside in ("black", "edge", "mirror"):
            tensors[f"{name}.{outside}"] = bilinear(picture, matrix, 12, 10, outside).astype(np.float32)
        tensors[f"{name}.averaged"] = bilinear(picture, matrix, 12, 10, "mirror", 3).astype(np.float32)
    save("faces", "crops", tensors, seed=None, tolerance=2e-6, note="a picture of noise sampled through four transforms")


# ---- decoders: every 97th candidate of seeded outputs


def outputs(detector, shapes):
    return [inputs(f"{detector}.{index}", shape).numpy() for index, shape in enumerate(shapes)]


def scrfd():
    """insightface's model_zoo/scrfd.py: distance2bbox, distance2kps, two anchors on the corner of each cell."""
    anchors = [2 * (640 // s) ** 2 for s in (8, 16, 32)]
    nets = outputs("scrfd", [(n, k) for k in (1, 4, 10) for n in anchors])
    boxes, points = [], []
    for level, stride in enumerate((8, 16, 32)):
        side = 640 // stride
        centers = np.stack(np.mgrid[:side, :side][::-1], axis=-1).reshape(-1, 2) * stride
        centers = np.stack([centers] * 2, axis=1).reshape(-1, 2).astype(np.float64)
        distances, offsets = nets[3 + level] * stride, nets[6 + level] * stride
        boxes.append(np.concatenate([centers - distances[:, :2], centers + distances[:, 2:]], axis=1))
        points.append((centers[:, None] + offsets.reshape(-1, 5, 2)).reshape(-1, 10))
    return np.concatenate(boxes), np.concatenate(nets[:3])[:, 0], np.concatenate(points)


def yunet():
    """OpenCV's face_detect.cpp, postProcess."""
    cells = [(640 // s) ** 2 for s in (8, 16, 32)]
    nets = outputs("yunet", [(n, k) for k in (1, 1, 4, 10) for n in cells])
    boxes, scores, points = [], [], []
    for level, stride in enumerate((8, 16, 32)):
        side = 640 // stride
        for row in range(side):
            for column in range(side):
                index = row * side + column
                score = math.sqrt(np.clip(nets[level][index, 0], 0, 1) * np.clip(nets[3 + level][index, 0], 0, 1))
                dx, dy, dw, dh = nets[6 + level][index].astype(np.float64)
                cx, cy, w, h = (column + dx) * stride, (row + dy) * stride, math.exp(dw) * stride, math.exp(dh) * stride
                boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
                scores.append(score)
                offsets = nets[9 + level][index].reshape(5, 2).astype(np.float64)
                points.append(((offsets + [column, row]) * stride).reshape(-1))
    return np.array(boxes), np.array(scores), np.array(points)


def retinaface():
    """biubug6/Pytorch_Retinaface: PriorBox, decode and decode_landm with variances 0.1 and 0.2, in parts of the side."""
    priors = []
    for stride, sides in zip((8, 16, 32), ([16, 32], [64, 128], [256, 512])):
        for i in range(640 // stride):
            for j in range(640 // stride):
                priors += [[(j + 0.5) * stride / 640, (i + 0.5) * stride / 640, s / 640, s / 640] for s in sides]
    priors = np.array(priors)
    loc, conf, landms = outputs("retinaface", [(len(priors), 4), (len(priors), 2), (len(priors), 10)])
    center = priors[:, :2] + loc[:, :2] * 0.1 * priors[:, 2:]
    size = priors[:, 2:] * np.exp(loc[:, 2:] * 0.2)
    boxes = np.concatenate([center - size / 2, center + size / 2], axis=1) * 640
    points = [priors[:, :2] + landms[:, 2 * k : 2 * k + 2] * 0.1 * priors[:, 2:] for k in range(5)]
    return boxes, conf[:, 1], np.concatenate(points, axis=1) * 640


def yolov8_face():
    """ultralytics' pose head after export: one output of 20 x 8400."""
    (net,) = outputs("yolov8_face", [(20, 8400)])
    center, size = net[:2].T.astype(np.float64), net[2:4].T.astype(np.float64)
    points = net[5:].reshape(5, 3, 8400)[:, :2].transpose(2, 0, 1).reshape(8400, 10)
    return np.concatenate([center - size / 2, center + size / 2], axis=1), net[4], points


def decoders():
    tensors = {}
    for decode in (scrfd, yunet, retinaface, yolov8_face):
        boxes, scores, points = decode()
        tensors[f"{decode.__name__}.boxes"] = boxes[::97].astype(np.float32)
        tensors[f"{decode.__name__}.scores"] = scores[::97].astype(np.float32)
        tensors[f"{decode.__name__}.points"] = points[::97].astype(np.float32)
    note = "every 97th candidate that four detectors' outputs of seeded noise decode to"
    save("faces", "decoders", tensors, seed=None, tolerance=1e-6, note=note)


# ---- whole pictures

SESSIONS = {}


def run(network, batch):
    if network not in SESSIONS:
        SESSIONS[network] = onnxruntime.InferenceSession(str(NETS / network), providers=["CPUExecutionProvider"])
    session = SESSIONS[network]
    results = session.run(None, {session.get_inputs()[0].name: batch.astype(np.float32)})
    return {output.name: result for output, result in zip(session.get_outputs(), results)}


def planes(crop):
    return crop.transpose(2, 0, 1)[None]


HEAD = {
    30: [0, 0, 0],
    8: [0, 330, 65],
    36: [-225, -170, 135],
    45: [225, -170, 135],
    48: [-150, 150, 125],
    54: [150, 150, 125],
}


def head_pose(landmarks):
    """Least squares, then the nearest orthonormal rows by SVD of the two unit rows."""
    model = np.array(list(HEAD.values()), dtype=np.float64)
    model -= model.mean(axis=0)
    seen = landmarks[list(HEAD)]
    rows = np.linalg.lstsq(model, seen - seen.mean(axis=0), rcond=None)[0].T
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    u, _, vt = np.linalg.svd(rows, full_matrices=False)
    right, down = u @ vt
    away = np.cross(right, down)
    return np.degrees([math.atan2(-right[2], away[2]), math.asin(down[2]), math.atan2(down[0], down[1])])


def quality(picture, box):
    def luma(rgb):
        return rgb @ np.array([0.299, 0.587, 0.114])

    height, width = picture.shape[:2]
    left, right = (int(np.clip(math.floor(box[k] + 0.5), 0, width)) for k in (0, 2))
    top, bottom = (int(np.clip(math.floor(box[k] + 0.5), 0, height)) for k in (1, 3))
    face = luma(picture[top:bottom, left:right].astype(np.float64))
    matrix = square(box, 1.0, 112)
    points = max(1, math.ceil(matrix[0][0]))
    small = luma(bilinear(picture, matrix, 112, 112, "edge", points))
    laplacian = small[:-2, 1:-1] + small[2:, 1:-1] + small[1:-1, :-2] + small[1:-1, 2:] - 4 * small[1:-1, 1:-1]
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]])
    windows = np.lib.stride_tricks.sliding_window_view(face, (3, 3))
    noise = math.sqrt(math.pi / 2) / 6 * np.abs((windows * mask).sum(axis=(2, 3))).mean()
    columns, rows = np.abs(np.diff(face, axis=1)), np.abs(np.diff(face, axis=0))
    x, y = np.arange(left + 1, right) % 8 == 0, np.arange(top + 1, bottom) % 8 == 0
    across = np.concatenate([columns[:, x].ravel(), rows[y].ravel()]).mean()
    inside = np.concatenate([columns[:, ~x].ravel(), rows[~y].ravel()]).mean()
    return [
        math.sqrt((box[2] - box[0]) * (box[3] - box[1])),
        laplacian.std(),
        face.mean() / 255,
        ((face <= 5) | (face >= 250)).mean(),
        noise,
        across / inside,
    ]


def whole_picture(picture):
    height, width = picture.shape[:2]
    stretched = bilinear(picture, [[width / 320, 0, 0], [0, height / 240, 0]], 320, 240, "edge")
    found = run("rfb320_opset13.onnx", planes((stretched - 127) / 128))
    scores, boxes = found["scores"][0, :, 1], found["boxes"][0].astype(np.float64) * [width, height, width, height]
    sure = scores > 0.7
    scores, boxes = scores[sure], boxes[sure]
    kept = suppress(boxes, scores, 0.3)
    scores, boxes = scores[kept], boxes[kept]
    names = ["points", "landmarks_68", "mesh_468", "embedding", "age_gender", "expression", "head_pose", "quality"]
    parts = {name: [] for name in names}
    for box in boxes:
        tight, loose = square(box, 1.05, 112), square(box, 1.5, 192)
        crop = planes(bilinear(picture, tight, 112, 112, "black"))
        landmarks = run("faceapi_landmark68.onnx", crop)["landmarks"].reshape(68, 2) * 112.0
        landmarks = landmarks * tight[0][0] + tight[:, 2]
        eyes = [landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)]
        points = np.array([*eyes, landmarks[30], landmarks[48], landmarks[54]])
        mesh = run("facemesh468.onnx", planes(bilinear(picture, loose, 192, 192, "black")) / 255)["mesh"].reshape(468, 3)
        mesh = mesh * loose[0][0] + [*loose[:, 2], 0]
        age = run("faceapi_age_gender.onnx", crop)
        embedding = run("mobileface_v2.onnx", planes(bilinear(picture, arcface(points), 112, 112, "black")))["embedding"][0]
        parts["points"].append(points)
        parts["landmarks_68"].append(landmarks)
        parts["mesh_468"].append(mesh[::9])
        parts["embedding"].append(embedding / np.linalg.norm(embedding))
        parts["age_gender"].append([age["age"][0, 0], age["gender"][0, 0]])
        parts["expression"].append(run("faceapi_expression.onnx", crop)["probabilities"][0])
        parts["head_pose"].append(head_pose(landmarks))
        parts["quality"].append(quality(picture, box))
    return {"boxes": boxes, "scores": scores, **parts}


def pictures():
    tensors = {}
    paths = sorted(PICTURES.glob("*.png"))
    assert len(paths) == 20, "decode the pictures first, see above"
    for path in paths:
        picture = np.asarray(Image.open(path).convert("RGB"))
        for part, values in whole_picture(picture).items():
            tensors[f"{path.stem}.{part}"] = np.asarray(values, dtype=np.float32)
    note = "faces of 20 pictures by onnxruntime; the mesh is every 9th point"
    save("faces", "pictures", tensors, seed=None, tolerance=1e-4, note=note)


if __name__ == "__main__":
    geometry()
    crops()
    decoders()
    pictures()
