"""Triton's stock HTTP client against a real inference_node: JSON and binary tensors, every way a model is asked for."""

import os
import pathlib
import re
import socket
import subprocess

import numpy as np
import onnx
import onnxruntime
import pytest
import tritonclient.http as triton
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException

BIN = pathlib.Path(os.environ["EDGEFLOW_BIN_DIR"])
LABEL_READER = pathlib.Path(__file__).resolve().parents[4] / "sim/models/v1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def identities(folder: pathlib.Path) -> pathlib.Path:
    """A bundle whose graph gives back a half, a truth and a word."""
    types = {"half": TensorProto.FLOAT16, "truth": TensorProto.BOOL, "word": TensorProto.STRING}
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_again"]) for name in types],
        "identities",
        [helper.make_tensor_value_info(name, code, [None]) for name, code in types.items()],
        [helper.make_tensor_value_info(f"{name}_again", code, [None]) for name, code in types.items()],
    )
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "model.onnx")
    return folder


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A client of a node with two models, on a router of its own."""
    environment = {**os.environ, "EDGEFLOW_ROS_ROUTER": f"127.0.0.1:{free_port()}"}
    parameters = {
        "slots": "[default, identities]",
        "bundle_path": LABEL_READER,
        "model_name": "label-reader",
        "model_version": "'1'",
        "identities.bundle_path": identities(tmp_path_factory.mktemp("bundles") / "identities"),
        "http_address": "127.0.0.1:0",
    }
    arguments = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    router = subprocess.Popen([BIN / "edgeflow", "ros", "router"], env=environment)
    node = None
    try:
        node = subprocess.Popen([BIN / "inference_node", "--ros-args", *arguments], env=environment, stderr=subprocess.PIPE, text=True)
        address = None
        active = 0
        for line in node.stderr:
            address = address or (re.search(r"serving http.*?(127\.0\.0\.1:\d+)", re.sub(r"\x1b\[[0-9;]*m", "", line)) or [None, None])[1]
            active += "model active" in line
            if address and active == 2:
                break
        with triton.InferenceServerClient(address) as client:
            # Loaded is not yet active: the last transition may still be under way.
            while not client.is_server_ready():
                assert node.poll() is None
            yield client
    finally:
        for process in filter(None, (node, router)):
            process.terminate()
        if node:
            node.stderr.close()
            assert node.wait(timeout=20) == 0
        router.wait(timeout=20)


def test_the_server_and_its_models_are_ready_and_described(client):
    assert client.is_server_live()
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    assert client.is_model_ready("label-reader")
    assert client.is_model_ready("default", "1")
    assert not client.is_model_ready("label-reader", "2")
    assert not client.is_model_ready("faces")
    described = client.get_model_metadata("label-reader")
    assert described["versions"] == ["1"]
    assert described["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 64]}]
    assert [output["name"] for output in described["outputs"]] == ["label", "probabilities"]


@pytest.mark.parametrize("binary", [True, False])
def test_one_frame_is_classified_as_onnxruntime_does_it(client, binary):
    frame = (np.arange(64, dtype=np.float32).reshape(1, 64) * 7) % 16
    given = triton.InferInput("X", [1, 64], "FP32").set_data_from_numpy(frame, binary_data=binary)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probabilities", "label")]
    answer = client.infer("label-reader", [given], model_version="1", outputs=wanted, request_id="seven")
    probabilities = answer.as_numpy("probabilities")
    assert probabilities.shape == (1, 10) and probabilities.dtype == np.float32
    assert abs(probabilities.sum() - 1) < 1e-4
    assert answer.as_numpy("label").tolist() == [probabilities.argmax()]
    assert answer.get_response()["id"] == "seven"
    session = onnxruntime.InferenceSession(LABEL_READER / "model.onnx", providers=["CPUExecutionProvider"])
    assert np.allclose(session.run(["probabilities"], {"X": frame})[0], probabilities, atol=1e-6)


def test_halves_truths_and_words_go_there_and_back(client):
    values = {
        "half": ("FP16", np.array([1.5, -0.0, 65504], dtype=np.float16)),
        "truth": ("BOOL", np.array([True, False])),
        "word": ("BYTES", np.array(["zürich", ""], dtype=np.object_)),
    }
    inputs = [triton.InferInput(name, value.shape, kind).set_data_from_numpy(value) for name, (kind, value) in values.items()]
    answer = client.infer("identities", inputs)
    assert answer.as_numpy("half_again").tobytes() == values["half"][1].tobytes()
    assert answer.as_numpy("truth_again").tolist() == [True, False]
    assert [word.decode() for word in answer.as_numpy("word_again")] == ["zürich", ""]


def test_what_is_wrong_is_said(client):
    def ask(model, kind, shape, version=""):
        array = np.zeros(shape, dtype=np.float32 if kind == "FP32" else np.int64)
        given = triton.InferInput("X", shape, kind).set_data_from_numpy(array)
        with pytest.raises(InferenceServerException) as refused:
            client.infer(model, [given], model_version=version)
        return str(refused.value)

    assert "expected float32 of shape [-1, 64] (-1 is free), got float32 of shape [1, 63]" in ask("default", "FP32", [1, 63])
    assert "expected float32" in ask("default", "INT64", [1, 64])
    assert "no version `9`" in ask("default", "FP32", [1, 64], version="9")
    assert "no model `faces`" in ask("faces", "FP32", [1, 64])
