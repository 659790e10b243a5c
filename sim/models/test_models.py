"""The committed models are what train.py makes, and as good and as bad as the story needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

import train

HERE = Path(__file__).resolve().parent
RENDERER = os.environ.get("EDGEFLOW_RENDER_FRAMES", train.RENDERER)
VERSIONS = ["v1", "v2", "v3"]


@pytest.fixture(scope="session")
def renderer() -> train.Renderer:
    return train.Renderer(RENDERER)


@pytest.fixture(scope="session")
def test_set(renderer: train.Renderer) -> tuple[np.ndarray, np.ndarray]:
    # Another seed than the training script's own check.
    frames, labels = renderer.frames("test", seed=99, each=3)
    return train.preprocess(frames), labels


@pytest.fixture(scope="session")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundles")
    subprocess.run([sys.executable, HERE / "train.py", "--out", out, "--renderer", RENDERER], check=True)
    return out


def test_the_data_is_what_its_script_makes(tmp_path: Path) -> None:
    made = tmp_path / "digits.csv"
    subprocess.run([sys.executable, HERE.parent / "data" / "make_digits.py", "--out", made], check=True)
    assert made.read_bytes() == (HERE.parent / "data" / "digits.csv").read_bytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_accuracy_is_what_the_story_needs(version: str, test_set: tuple[np.ndarray, np.ndarray]) -> None:
    inputs, labels = test_set
    value = train.accuracy((HERE / version / "model.onnx").read_bytes(), inputs, labels)
    low, high = {"v1": (0.75, 0.85), "v2": (0.95, 1.0), "v3": (0.0, 0.60)}[version]
    assert low <= value <= high


@pytest.mark.parametrize(("version", "sound"), [("v1", True), ("v2", True), ("v3", False)])
def test_answers_are_distributed_as_the_labels_unless_the_model_is_bad(
    version: str, sound: bool, test_set: tuple[np.ndarray, np.ndarray]
) -> None:
    baseline = json.loads((HERE / version / "baseline.json").read_text(encoding="utf-8"))
    labels = next(feature for feature in baseline["features"] if feature["name"] == "output.class")
    expected = np.array(labels["counts"][:10]) / labels["n"]
    inputs, _ = test_set
    said = train.scores((HERE / version / "model.onnx").read_bytes(), inputs).argmax(axis=1)
    # Per window of 100 frames: what chance brings (9 degrees of freedom) stays below 31 but for one time in 3,000.
    chi_square = 100 * ((np.bincount(said, minlength=10) / len(said) - expected) ** 2 / expected).sum()
    assert chi_square < 4 if sound else chi_square > 40


@pytest.mark.parametrize("version", VERSIONS)
def test_committed_bundles_are_reproduced(version: str, retrained: Path, test_set: tuple[np.ndarray, np.ndarray]) -> None:
    committed, made = HERE / version, retrained / version
    assert sorted(path.name for path in committed.iterdir()) == ["baseline.json", "edgeflow.yaml", "model.onnx"]
    for name in ["baseline.json", "edgeflow.yaml"]:
        assert (made / name).read_bytes() == (committed / name).read_bytes(), name
    old, new = (committed / "model.onnx").read_bytes(), (made / "model.onnx").read_bytes()
    if version == "v1":
        assert new == old
        return
    inputs, _ = test_set
    was, now = train.scores(old, inputs), train.scores(new, inputs)
    assert (was.argmax(axis=1) == now.argmax(axis=1)).mean() >= 0.995


def test_the_record_of_the_training_is_reproduced(retrained: Path) -> None:
    committed, made = (json.loads((folder / "training.json").read_text(encoding="utf-8")) for folder in (HERE, retrained))
    assert sorted(committed) == VERSIONS
    for version in VERSIONS:
        old, new = committed[version], made[version]
        # Parameters, and datasets by their digests.
        assert (new["params"], new["datasets"]) == (old["params"], old["datasets"])
        assert new["metrics"].keys() == old["metrics"].keys()
        for name, values in old["metrics"].items():
            if version == "v1":
                assert new["metrics"][name] == values, name
            else:
                assert new["metrics"][name] == pytest.approx(values, abs=0.01), name


@pytest.mark.parametrize("version", VERSIONS)
def test_graphs_have_the_shapes_the_manifest_names(version: str) -> None:
    graph = onnx.load(HERE / version / "model.onnx").graph
    assert [value.name for value in graph.input] == ["X"]
    probabilities = next(value for value in graph.output if value.name == "probabilities")
    assert probabilities.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    assert probabilities.type.tensor_type.shape.dim[1].dim_value == 10


def test_help_says_what_it_makes() -> None:
    text = subprocess.run([sys.executable, HERE / "train.py", "--help"], check=True, capture_output=True, text=True).stdout
    assert "--renderer" in text and "baseline.json" in text
