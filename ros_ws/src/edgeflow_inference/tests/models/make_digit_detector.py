"""Writes digit_detector/: a detector whose right answers are known, because they are how it is built.

It looks for ten handwritten digits of sim/data/digits.csv, one of each class, at one size: a convolution measures how far
each place of the image is from each of the ten, and what is near has a high score. Its output is laid out as YOLOv8's: for every
place the centre and size of the box and a score for each class. Scenes are drawn from the same ten by the tests
(digit_scenes.json), and once here, as a JPEG. Run with sim/models/requirements.txt and pillow==12.0.0:

    python ros_ws/src/edgeflow_inference/tests/models/make_digit_detector.py
"""

import csv
import io
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

HERE = Path(__file__).resolve().parent
DIGITS = HERE.parents[4] / "sim/data/digits.csv"
# Edge of the graph's input, and of a digit in it: eight pixels of the data, each 2 x 2.
EDGE, CELL = 320, 2
SIDE = 8 * CELL
# Squared distance, in full pixels of the data, at which a score has fallen to 1/e.
WIDTH = 3.0
MANIFEST = """v: 1
input: {encoding: mono8, resize: {width: 320, height: 320, mode: letterbox, filter: box}, layout: nchw, scale: 0.00392156862745098}
output: {decode: detection, format: yolov8, tensor: output0, score_threshold: 0.5, iou_threshold: 0.45}
labels: [zero, one, two, three, four, five, six, seven, eight, nine]
"""
# Frame of the JPEG: 640 x 480, so that a digit's pixel is 4 x 4 of it.
SCENE = [
    (0, 40, 32), (1, 200, 60), (2, 521, 17), (3, 96, 200), (4, 300, 222),
    (5, 470, 190), (6, 31, 390), (7, 250, 401), (8, 402, 350), (9, 580, 420),
]  # fmt: skip


def confusion(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """For each of the others, how near it comes at any place to an image of `one` on black: the least squared distance."""
    canvas = np.zeros((3 * SIDE, 3 * SIDE), dtype=np.float32)
    canvas[SIDE : 2 * SIDE, SIDE : 2 * SIDE] = np.kron(one, np.ones((CELL, CELL)))
    means = (canvas[:-1, :-1] + canvas[1:, :-1] + canvas[:-1, 1:] + canvas[1:, 1:]) / 4
    places = range(2 * SIDE)
    seen = np.stack([means[y : y + SIDE : CELL, x : x + SIDE : CELL].ravel() for y in places for x in places])
    flat = others.reshape(len(others), -1)
    return ((seen**2).sum(axis=1)[:, None] - 2 * seen @ flat.T + (flat**2).sum(axis=1)).min(axis=0)


def glyphs() -> np.ndarray:
    """Ten digits of 8 x 8, 0 to 1, none of which can be taken for part of another: of the twenty of each class that are nearest to its
    mean, the one that the rest are farthest from."""
    with open(DIGITS, newline="", encoding="utf-8") as file:
        rows = [(int(row["label"]), [int(c, 17) for c in row["pixels"]]) for row in csv.DictReader(file) if row["split"] == "train"]
    labels, pixels = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=np.float32).reshape(-1, 8, 8) / 16
    candidates = []
    for digit in range(10):
        own = pixels[labels == digit]
        order = np.argsort(((own - own.mean(axis=0)) ** 2).sum(axis=(1, 2)), kind="stable")
        candidates.append(own[order[:20]])
    every = np.concatenate(candidates)
    apart = np.stack([confusion(one, every) for one in every])
    apart = np.minimum(apart, apart.T)
    chosen = [20 * digit for digit in range(10)]
    for _ in range(5):
        for digit in range(10):
            rest = chosen[:digit] + chosen[digit + 1 :]
            chosen[digit] = 20 * digit + int(np.argmax(apart[20 * digit : 20 * digit + 20, rest].min(axis=1)))
    return every[chosen]


def detector(templates: np.ndarray) -> onnx.ModelProto:
    """Distance by |p - g|^2 = |p|^2 - 2 p.g + |g|^2, of the means of 2 x 2 pixels, as one convolution over p and p^2."""
    weights = np.zeros((10, 2, 8, 8), dtype=np.float32)
    weights[:, 0], weights[:, 1] = -2 * templates, 1
    places = EDGE - SIDE + 1
    count = places * places

    def constant(name: str, value: object, kind: type = np.float32) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(value, dtype=kind), name)

    initializers = [
        numpy_helper.from_array(weights, "templates"),
        numpy_helper.from_array((templates**2).sum(axis=(1, 2)).astype(np.float32), "norms"),
        constant("width", -WIDTH),
        constant("half", SIDE / 2),
        constant("first", 0.0), constant("last", float(places)), constant("step", 1.0),
        constant("as_row", [1, 1, 1, places], np.int64), constant("as_column", [1, 1, places, 1], np.int64),
        constant("grid", [1, 1, places, places], np.int64),
        constant("side", np.full((1, 1, 1, 1), SIDE)),
        constant("flat", [1, 14, count], np.int64),
    ]
    nodes = [
        helper.make_node("AveragePool", ["images"], ["p"], kernel_shape=[CELL, CELL]),
        helper.make_node("Mul", ["p", "p"], ["squares"]),
        helper.make_node("Concat", ["p", "squares"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "templates", "norms"], ["distance"], dilations=[CELL, CELL], kernel_shape=[8, 8]),
        helper.make_node("Div", ["distance", "width"], ["near"]),
        helper.make_node("Exp", ["near"], ["scores"]),
        # Centres of the places, row by row.
        helper.make_node("Range", ["first", "last", "step"], ["counted"]),
        helper.make_node("Add", ["counted", "half"], ["centres"]),
        helper.make_node("Reshape", ["centres", "as_row"], ["row"]),
        helper.make_node("Reshape", ["centres", "as_column"], ["column"]),
        helper.make_node("Expand", ["row", "grid"], ["x"]),
        helper.make_node("Expand", ["column", "grid"], ["y"]),
        helper.make_node("Expand", ["side", "grid"], ["w"]),
        helper.make_node("Concat", ["x", "y", "w", "w", "scores"], ["maps"], axis=1),
        helper.make_node("Reshape", ["maps", "flat"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "digit_detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 1, EDGE, EDGE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, 14, count])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="make_digit_detector.py", ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def scene(templates: np.ndarray) -> np.ndarray:
    """Digits on a slope of dark grey: what `scene` of tests/node/vision.rs draws."""
    y, x = np.mgrid[0:480, 0:640]
    frame = ((x + y) // 64).astype(np.uint8)
    for digit, left, top in SCENE:
        levels = np.rint(templates[digit] * 16).astype(np.int64) * 255 // 16
        frame[top : top + 32, left : left + 32] = np.kron(levels, np.ones((4, 4), dtype=np.int64))
    return frame


def check(model: onnx.ModelProto, templates: np.ndarray, frame: np.ndarray) -> None:
    """Every digit is found where it is, and nothing else comes near the threshold."""
    small = frame.reshape(240, 2, 320, 2).mean(axis=(1, 3))
    letterboxed = np.full((320, 320), 114.0)
    letterboxed[40:280] = small
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    images = (letterboxed / 255).astype(np.float32)[None, None]
    rows = session.run(None, {"images": images})[0][0]
    scores = rows[4:].max(axis=0)
    for digit, left, top in SCENE:
        near = (abs(rows[0] * 2 - 16 - left) < 32) & (abs(rows[1] * 2 - 80 - 16 - top) < 32)
        best = np.argmax(np.where(near, scores, -1))
        found = rows[:, best]
        error = found[0] * 2 - 16 - left, found[1] * 2 - 80 - 16 - top
        assert np.argmax(found[4:]) == digit and scores[best] > 0.7 and max(map(abs, error)) <= 1, (digit, scores[best], error)
        # What overlaps it enough to be suppressed, and is of the same class.
        overlaps = (abs(rows[0] - found[0]) < 4) & (abs(rows[1] - found[1]) < 4) & (rows[4:].argmax(axis=0) == digit)
        scores = np.where(overlaps, -1, scores)
    assert scores.max() < 0.4, scores.max()


def main() -> None:
    templates = glyphs()
    model = detector(templates)
    frame = scene(templates)
    check(model, templates, frame)
    folder = HERE / "digit_detector"
    folder.mkdir(exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    (folder / "edgeflow.yaml").write_text(MANIFEST, encoding="utf-8")
    jpeg = io.BytesIO()
    Image.fromarray(frame).convert("RGB").save(jpeg, "JPEG", quality=90)
    (HERE / "digit_scene.jpg").write_bytes(jpeg.getvalue())
    digits = ["".join("0123456789abcdefg"[int(v)] for v in np.rint(t.ravel() * 16)) for t in templates]
    placed = [{"digit": d, "left": x, "top": y} for d, x, y in SCENE]
    text = json.dumps({"digits": digits, "scene": placed}, indent=1)
    (HERE / "digit_scenes.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
