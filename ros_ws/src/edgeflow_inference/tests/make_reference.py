"""Writes label_reader_reference.json: what the committed label-reader models answer in Python, frame by frame.

Frames are digits of the test split, each pixel 12 x 12, with a pattern of noise that the Rust test computes too. Run with
the packages of sim/models/requirements.txt after the models have changed:

    python ros_ws/src/edgeflow_inference/tests/make_reference.py
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).resolve().parent
SIM = HERE.parents[3] / "sim"
sys.path.insert(0, str(SIM / "models"))
FRAMES = 60


def frame(index: int, pixels: str) -> np.ndarray:
    digits = np.array([int(c, 17) for c in pixels], dtype=np.int64).reshape(8, 8)
    large = np.kron(digits * 15, np.ones((12, 12), dtype=np.int64))
    noise = (np.arange(96 * 96, dtype=np.int64) * 7919 + index * 104729) % 16
    return (large + noise.reshape(96, 96)).astype(np.uint8)


def main() -> None:
    from train import preprocess

    with open(SIM / "data" / "digits.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"][:FRAMES]
    frames = np.stack([frame(i, row["pixels"]) for i, row in enumerate(rows)])
    inputs = preprocess(frames)
    reference = {"frames": [{"pixels": row["pixels"]} for row in rows]}
    for version in ["v1", "v2"]:
        session = onnxruntime.InferenceSession(SIM / "models" / version / "model.onnx", providers=["CPUExecutionProvider"])
        scores = session.run(["probabilities"], {"X": inputs})[0]
        for entry, row in zip(reference["frames"], scores):
            entry[version] = [round(float(s), 6) for s in row]
    text = json.dumps(reference).replace("}, {", "},\n{")
    (HERE / "label_reader_reference.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
