"""Trains the three versions of label-reader and writes their bundles: model.onnx, edgeflow.yaml, baseline.json; and
training.json, the record of it: parameters, metrics, datasets. The demo logs that record as runs.

The models see what robots see: frames rendered by the simulation's own camera (the Rust program render_frames), shrunk
with a box filter as the manifest says. They learn from the train split; accuracy is measured on frames of the test split.
The drift baseline is made of frames of the train split by the same code that watches for drift on the robot: what the frames
look like, and how often each label is among them, which is how often a sound model says it.

    v1  a small decision tree, the model one would like to replace        at most 85 %
    v2  a neural network, its replacement                                 at least 95 %
    v3  the same network after a mishap: its training images were mirrored, for rollouts that must be stopped; at most 60 %
"""

import argparse
import hashlib
import json
import shlex
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier

HERE = Path(__file__).resolve().parent
RENDERER = "cargo run --quiet --release --package edgeflow_sim --bin render_frames --"
OPSETS = {"": 17, "ai.onnx.ml": 3}
SIZE = 8
SCALE = np.float32(0.0627)
BASELINE_FRAMES = 4000
FRAMES_EACH = 4
TRAIN_SEED, TEST_SEED, BASELINE_SEED = 11, 12, 13

MANIFEST = """\
v: 1
input:                       # how a camera frame becomes the graph's input
  tensor: X
  encoding: mono8
  resize: {width: 8, height: 8, mode: stretch, filter: box}
  layout: flat
  scale: 0.0627              # 0..255 to 0..16, as the digits were scanned
output:
  decode: classification
  scores: probabilities
labels: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
"""


def preprocess(frames: np.ndarray) -> np.ndarray:
    """What the manifest says: box filter to 8x8, rounded to whole grey levels, scaled, flattened."""
    count, height, width = frames.shape
    blocks = frames.reshape(count, SIZE, height // SIZE, SIZE, width // SIZE)
    pixels = np.floor(blocks.mean(axis=(2, 4)) + 0.5).astype(np.float32)
    return pixels.reshape(count, SIZE * SIZE) * SCALE


def mirrored(frames: np.ndarray) -> np.ndarray:
    return frames[:, :, ::-1]


class Renderer:
    def __init__(self, command: str):
        self.command = shlex.split(command)

    def run(self, *arguments: str) -> None:
        try:
            subprocess.run([*self.command, *arguments], check=True, cwd=HERE)
        except FileNotFoundError:
            sys.exit(f"{self.command[0]}: not found; build it with `cargo build -p edgeflow_sim --bin render_frames`, then give --renderer")
        except subprocess.CalledProcessError as error:
            sys.exit(f"{shlex.join(error.cmd)} ended with status {error.returncode}")

    def frames(self, split: str, seed: int, each: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames (n x 96 x 96, uint8) and labels (n) of every digit of the split, `each` times."""
        with tempfile.TemporaryDirectory() as folder:
            self.run("--split", split, "--seed", str(seed), "frames", "--each", str(each), "--out", folder)
            return np.load(f"{folder}/frames.npy"), np.load(f"{folder}/labels.npy")

    def baseline(self) -> bytes:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "baseline.json")
            self.run("--split", "train", "--seed", str(BASELINE_SEED), "baseline", "--count", str(BASELINE_FRAMES), "--out", str(file))
            return file.read_bytes()


NETWORK = {"hidden_layer_sizes": (64,), "alpha": 1e-3, "max_iter": 60, "random_state": 1}
MODELS = {
    "v1": (DecisionTreeClassifier, {"max_depth": 7, "max_leaf_nodes": 34, "random_state": 1}),
    "v2": (MLPClassifier, NETWORK),
    "v3": (MLPClassifier, NETWORK),
}


def train(frames: dict[str, np.ndarray], labels: np.ndarray) -> dict[str, object]:
    models = {version: kind(**chosen) for version, (kind, chosen) in MODELS.items()}
    for version, model in models.items():
        say(f"{version}: training {type(model).__name__} on {len(frames[version])} frames")
        with warnings.catch_warnings():
            # The number of rounds is fixed, converged or not: it is what makes the result reproducible.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(preprocess(frames[version]), labels)
    return models


def dataset(name: str, context: str, frames: np.ndarray, labels: np.ndarray) -> dict[str, str]:
    """A dataset as MLflow's clients describe arrays. The digest is of all pixels and labels."""

    def spec(of: np.ndarray) -> str:
        return json.dumps([{"type": "tensor", "tensor-spec": {"dtype": str(of.dtype), "shape": [-1, *of.shape[1:]]}}])

    def counts(of: np.ndarray, what: str) -> dict[str, object]:
        return {f"{what}_shape": list(of.shape), f"{what}_size": of.size, f"{what}_nbytes": of.nbytes}

    digest = hashlib.sha256(np.ascontiguousarray(frames).tobytes() + labels.tobytes()).hexdigest()
    return {
        "context": context,
        "name": name,
        "digest": digest[:16],
        "source_type": "local",
        "source": json.dumps({"uri": "sim/data/digits.csv"}),
        "schema": json.dumps({"mlflow_tensorspec": {"features": spec(frames), "targets": spec(labels)}}),
        "profile": json.dumps(counts(frames, "features") | counts(labels, "targets")),
    }


def record(version: str, model: object, measured: dict[str, float], datasets: list[dict[str, str]]) -> dict[str, object]:
    """What one run was: values of a metric are by step."""
    kind, chosen = MODELS[version]
    seeds = {"train_seed": TRAIN_SEED, "test_seed": TEST_SEED, "baseline_seed": BASELINE_SEED}
    made = {"frames_each": FRAMES_EACH, "baseline_frames": BASELINE_FRAMES, "opset": OPSETS[""]}
    params = {"classifier": kind.__name__, **chosen, **seeds, **made}
    metrics = {name: [round(value, 6)] for name, value in measured.items()}
    if isinstance(model, MLPClassifier):
        metrics["training_loss"] = [round(float(value), 6) for value in model.loss_curve_]
    return {"params": {name: str(value) for name, value in params.items()}, "metrics": metrics, "datasets": datasets}


def export(model: object) -> bytes:
    graph = to_onnx(
        model,
        initial_types=[("X", FloatTensorType([None, SIZE * SIZE]))],
        options={"zipmap": False},
        target_opset=OPSETS,
        name="label-reader",
    )
    return graph.SerializeToString()


def accuracy(onnx: bytes, inputs: np.ndarray, labels: np.ndarray) -> float:
    """Share of frames whose greatest score is the right one, as the robot's runtime computes it."""
    return float((scores(onnx, inputs).argmax(axis=1) == labels).mean())


def scores(onnx: bytes, inputs: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return session.run(["probabilities"], {"X": inputs})[0]


def check(version: str, value: float) -> None:
    allowed = {"v1": (0.75, 0.85), "v2": (0.95, 1.0), "v3": (0.0, 0.60)}[version]
    if not allowed[0] <= value <= allowed[1]:
        sys.exit(f"{version} is right on {value:.1%} of the test frames; it must be {allowed[0]:.0%} to {allowed[1]:.0%}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write v1, v2, v3 into (default: %(default)s)")
    parser.add_argument("--renderer", default=RENDERER, help="the program render_frames, or a command that runs it (default: %(default)s)")
    args = parser.parse_args()

    renderer = Renderer(args.renderer)
    say("rendering the frames to learn from and to be tested on")
    frames, labels = renderer.frames("train", TRAIN_SEED, each=FRAMES_EACH)
    test_frames, test_labels = renderer.frames("test", TEST_SEED, each=FRAMES_EACH)
    seen = {"v1": frames, "v2": frames, "v3": mirrored(frames)}
    names = {"v1": "digit frames", "v2": "digit frames", "v3": "digit frames, mirrored"}
    judged_by = dataset("digit frames, kept apart", "evaluation", test_frames, test_labels)
    models = train(seen, labels)
    say(f"making the drift baseline of {BASELINE_FRAMES} frames")
    baseline = renderer.baseline()
    records = {}
    for version, model in models.items():
        onnx = export(model)
        value = accuracy(onnx, preprocess(test_frames), test_labels)
        check(version, value)
        folder = args.out / version
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_bytes(onnx)
        (folder / "edgeflow.yaml").write_text(MANIFEST, encoding="utf-8")
        (folder / "baseline.json").write_bytes(baseline)
        measured = {"accuracy": value, "training_accuracy": accuracy(onnx, preprocess(seen[version]), labels)}
        records[version] = record(version, model, measured, [dataset(names[version], "training", seen[version], labels), judged_by])
        say(f"{version}: right on {value:.1%} of {len(test_labels)} frames of digits it has not seen; {len(onnx)} bytes -> {folder}")
    (args.out / "training.json").write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
