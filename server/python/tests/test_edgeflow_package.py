"""The package against a control plane, and a robot with its bridge and its inference node."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
from datetime import datetime, timezone

import numpy as np
import onnx
import pytest
import requests
from onnx import TensorProto, helper, numpy_helper

PACKAGE = pathlib.Path(__file__).parents[1]
BIN = pathlib.Path(os.environ["EDGEFLOW_BIN_DIR"])
TOKEN = "admin-token-of-this-test"
RNG = np.random.default_rng(3)
TRAINED_ON = RNG.normal(size=(400, 8)).astype(np.float32)

sys.path.insert(0, str(PACKAGE / "src"))

import edgeflow  # noqa: E402
import mlflow  # noqa: E402


@contextlib.contextmanager
def running(name, *arguments, first_line=None, **environment):
    command = [str(BIN / name), *map(str, arguments)]
    process = subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE if first_line else None, text=True)
    try:
        line = process.stdout.readline() if first_line else ""
        assert not first_line or first_line in line, line
        yield line
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory):
    doors = ["--data-dir", tmp_path_factory.mktemp("data"), "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"]
    with running("edgeflow-server", *doors, first_line="listening on", EDGEFLOW_ADMIN_TOKEN=TOKEN) as line:
        words = line.split()
        yield next(word for word in words if word.startswith("http://")), next(word for word in words if word.startswith("mqtt://"))


@pytest.fixture(autouse=True)
def signed_in(control_plane, monkeypatch, tmp_path):
    """The one line that a team changes in its training script, and nothing of this machine's."""
    for name in ["EDGEFLOW_URL", "EDGEFLOW_TOKEN", "EDGEFLOW_CA", "MLFLOW_TRACKING_URI"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EDGEFLOW_BIN", str(BIN / "edgeflow"))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", TOKEN)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(control_plane[0])
    mlflow.set_registry_uri(control_plane[0])


@pytest.fixture(scope="module")
def robot(control_plane, tmp_path_factory):
    """robot-1 with its nodes."""
    library = os.environ.get("ORT_DYLIB_PATH")
    if not library:
        pytest.skip("ORT_DYLIB_PATH is not set")
    url, mqtt = control_plane
    folder = tmp_path_factory.mktemp("robot")
    enrol = [BIN / "edgeflow", "--url", url, "targets", "enrol", "robot-1", "--token-file", folder / "token"]
    subprocess.run(enrol, env={**os.environ, "EDGEFLOW_TOKEN": TOKEN}, check=True, timeout=60)
    with running("edgeflow", "ros", "--router", "127.0.0.1:0", "router", first_line="listening on") as line:
        router = {"EDGEFLOW_ROS_ROUTER": line.split()[-1]}
        ros = ["--ros-args", "-r", "__ns:=/robot_1"]
        parameters = [f"data_dir:={folder / 'bridge'}", f"token_file:={folder / 'token'}", f"mqtt:={mqtt[7:]}", f"http:={url}"]
        bridge = [word for parameter in ["robot:=robot-1", *parameters] for word in ("-p", parameter)]
        node = running("inference_node", *ros, "-p", f"onnxruntime:={library}", **router)
        with node, running("bridge_node", *ros, *bridge, **router):
            yield "robot-1"


def layer(seed=0):
    """A layer from X[?, 8] to Y[?, 4]."""
    weights = np.random.default_rng(seed).normal(size=(8, 4)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "W"], ["Y"])],
        "layer",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 8])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 4])],
        [numpy_helper.from_array(weights, "W")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def by_the_program(file, *more):
    """What the command line makes of the same data."""
    out = file.with_suffix(".baseline.json")
    subprocess.run([BIN / "edgeflow", "baseline", "build", file, "--out", out, "--force", *more], check=True, capture_output=True, timeout=60)
    return json.loads(out.read_text())


def bundled_baseline(url, model, version):
    """The drift reference that robots get with a version."""
    session = requests.Session()
    session.auth = ("anyone", TOKEN)
    registered = session.get(f"{url}/api/v1/models/{model}/versions/{version}", timeout=10).json()
    [file] = [file for file in registered["files"] if file["path"] == "baseline.json"]
    return session.get(f"{url}/api/v1/artifacts/{file['sha256']}", timeout=10).json()


def test_a_baseline_is_the_one_that_the_program_makes(tmp_path):
    np.save(tmp_path / "data.npy", TRAINED_ON)
    expected = by_the_program(tmp_path / "data.npy")
    assert [feature["name"] for feature in expected["features"]] == [f"X[{column}]" for column in range(8)]
    assert edgeflow.baseline(TRAINED_ON) == edgeflow.baseline(tmp_path / "data.npy") == edgeflow.baseline(TRAINED_ON.tolist()) == expected
    renamed = by_the_program(tmp_path / "data.npy", "--name", "in", "--prefix", "output.", "--bins", "5")
    assert edgeflow.baseline(TRAINED_ON, name="in", prefix="output.", bins=5) != expected
    assert edgeflow.baseline(TRAINED_ON, name="in", prefix="output.", bins=5) == renamed

    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"effort": TRAINED_ON[:, 0], "state": RNG.choice(["moving", "still"], size=400), "code": RNG.integers(0, 3, 400)})
    frame.loc[7, "effort"] = float("nan")
    frame.to_csv(tmp_path / "frame.csv", index=False)
    assert edgeflow.baseline(frame, categorical=["code"]) == by_the_program(tmp_path / "frame.csv", "--categorical", "code")
    images = RNG.integers(0, 255, size=(60, 12, 12), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    assert edgeflow.baseline(images) == by_the_program(tmp_path / "images.npy")


def test_what_no_baseline_can_be_made_of_is_refused_with_why(monkeypatch, tmp_path):
    with pytest.raises(edgeflow.EdgeflowError, match="no-such"):
        edgeflow.baseline(tmp_path / "no-such.npy")
    with pytest.raises(edgeflow.EdgeflowError, match="no array of numbers|inhomogeneous"):
        edgeflow.baseline(np.array([{"a": 1}], dtype=object))
    with pytest.raises(edgeflow.EdgeflowError, match="no run is active"):
        edgeflow.log_baseline(TRAINED_ON)
    monkeypatch.delenv("EDGEFLOW_BIN")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(edgeflow.EdgeflowError, match="EDGEFLOW_BIN"):
        edgeflow.baseline(TRAINED_ON)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_logged_baseline_is_in_the_bundle(control_plane):
    url = control_plane[0]
    mlflow.set_experiment("package")
    with mlflow.start_run() as run:
        logged = edgeflow.log_baseline(TRAINED_ON)
        mlflow.onnx.log_model(layer(), name="model", registered_model_name="of-run", pip_requirements=["onnx"])
    assert bundled_baseline(url, "of-run", "1") == logged == edgeflow.baseline(TRAINED_ON)
    assert [file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id, "edgeflow")] == ["edgeflow/baseline.json"]

    # Of the logged model itself, which wins over the run's.
    with mlflow.start_run():
        edgeflow.log_baseline(TRAINED_ON)
        info = mlflow.onnx.log_model(layer(), name="model", pip_requirements=["onnx"])
    own = edgeflow.log_baseline(TRAINED_ON * 2, model_id=info.model_id)
    mlflow.register_model(f"models:/{info.model_id}", "of-model")
    assert bundled_baseline(url, "of-model", "1") == own != logged


def test_push_deploy_and_lineage(control_plane, robot, tmp_path, capsys):
    onnx.save(layer(seed=5), tmp_path / "model.onnx")
    pushed = edgeflow.push(tmp_path / "model.onnx", "pushed one", baseline=TRAINED_ON, description="by the package")
    assert (pushed.model, pushed.version, pushed.digest[:7]) == ("pushed one", "1", "sha256:")
    assert edgeflow.push(tmp_path / "model.onnx", "pushed one", baseline=TRAINED_ON).version == "1", "the same bundle is the same version"
    assert bundled_baseline(control_plane[0], "pushed%20one", "1") == edgeflow.baseline(TRAINED_ON)

    steps = []
    done = edgeflow.deploy(pushed, to=robot, timeout_s=60, progress=lambda deployment: steps.append(deployment.robots[0].status))
    assert (done.state, done.robots[0].status, steps[-1]) == ("succeeded", "active", "active"), steps

    mlflow.set_experiment("package lineage")
    with mlflow.start_run(run_name="teaching") as run:
        mlflow.log_params({"rate": 0.1})
        mlflow.log_metric("loss", 0.25)
        mlflow.log_input(mlflow.data.from_numpy(TRAINED_ON, name="normal"), context="training")
        edgeflow.log_baseline(TRAINED_ON)
        mlflow.onnx.log_model(layer(seed=1), name="model", registered_model_name="taught", pip_requirements=["onnx"])
    before = datetime.now(timezone.utc)
    edgeflow.deploy("taught", 1, to=[robot], timeout_s=60)
    assert "robot-1 active" in capsys.readouterr().err, "progress is told to people"

    now, earlier = edgeflow.lineage(robot)[:2]
    assert (now.model, now.version, now.until) == ("taught", "1", None)
    assert (earlier.model, earlier.digest, earlier.runs) == ("pushed one", pushed.digest, ()) and earlier.until is not None
    [made_by] = now.runs
    assert (made_by.id, made_by.name, made_by.params["rate"], made_by.metrics["loss"]) == (run.info.run_id, "teaching", "0.1", 0.25)
    assert [(dataset.name, dataset.trained_on) for dataset in made_by.datasets] == [("normal", True)]
    assert [interval.model for interval in edgeflow.lineage(robot, at=before)] == ["pushed one"]


def test_what_is_refused_is_said_in_the_control_planes_words(control_plane, robot):
    with pytest.raises(edgeflow.EdgeflowError, match="no-such-model") as refused:
        edgeflow.deploy("no-such-model", 1, to=robot)
    assert refused.value.status == 404
    with pytest.raises(edgeflow.EdgeflowError, match="no-such-robot"):
        edgeflow.lineage("no-such-robot")
    with pytest.raises(edgeflow.EdgeflowError, match="which version"):
        edgeflow.deploy("taught", to=robot)
    with pytest.raises(edgeflow.EdgeflowError, match="401") as wrong:
        edgeflow.Client(token="guess").get("server")
    assert "guess" not in str(wrong.value)
    with pytest.raises(edgeflow.EdgeflowError, match="127.0.0.1:1"):
        edgeflow.Client("http://127.0.0.1:1", "t").get("server")


def test_a_deployment_that_is_not_done_in_time_says_who_is_behind(control_plane, tmp_path):
    edgeflow.Client().post("targets", body={"name": "asleep"})
    onnx.save(layer(seed=2), tmp_path / "model.onnx")
    pushed = edgeflow.push(tmp_path / "model.onnx", "waiting")
    with pytest.raises(edgeflow.EdgeflowError, match="asleep is pending"):
        edgeflow.deploy(pushed, to="asleep", timeout_s=0.1)
    assert edgeflow.deploy(pushed, "1", to="asleep", wait=False).state in ("progressing", "superseded")


def test_where_the_control_plane_is_known_from(control_plane, monkeypatch, tmp_path):
    url = control_plane[0]
    assert edgeflow.Client().url == url, "MLflow's tracking URI"
    monkeypatch.setenv("EDGEFLOW_URL", "http://10.0.0.1:5000")
    with pytest.raises(edgeflow.EdgeflowError, match="no token for http://10.0.0.1:5000"):
        edgeflow.Client()  # MLflow's token is for MLflow's address
    monkeypatch.setenv("EDGEFLOW_TOKEN", "t")
    assert edgeflow.Client().url == "http://10.0.0.1:5000" and edgeflow.Client(url).url == url
    monkeypatch.delenv("EDGEFLOW_URL")
    monkeypatch.delenv("EDGEFLOW_TOKEN")
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    login = tmp_path / "home" / "edgeflow" / "login.json"
    login.parent.mkdir(parents=True)
    login.write_text(json.dumps({"url": url, "token": TOKEN, "ca": None}))
    login.chmod(0o600)
    assert edgeflow.Client().get("server")["version"]
    assert TOKEN not in repr(edgeflow.Client())
    login.chmod(0o644)
    with pytest.raises(edgeflow.EdgeflowError, match="others can read"):
        edgeflow.Client()


def test_the_types_hold():
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "src"]
    ran = subprocess.run(command, cwd=PACKAGE, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (PACKAGE / "src" / "edgeflow" / "py.typed").exists()
