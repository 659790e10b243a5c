"""The stock client with artifacts and the model registry: every endpoint, as the client calls it."""

import hashlib
import json
import os
import pathlib
import subprocess
import urllib.parse

import mlflow
import numpy as np
import onnx
import pytest
import requests
from conftest import ADMIN_TOKEN
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.entities.paged_list import PagedList
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(7)
WEIGHTS = RNG.normal(size=(64, 128)).astype(np.float32)


def dense_model():
    """X[?, 64] @ WEIGHTS, with more weights than the exporter leaves in the graph."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["X", "W"], ["Y"])],
        "dense",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 64])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 128])],
        [numpy_helper.from_array(WEIGHTS, "W")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def native(control_plane, method, path, **more):
    """A route of the control plane's own."""
    answer = requests.request(method, f"{control_plane}/api/v1{path}", auth=("anyone", ADMIN_TOKEN), timeout=60, **more)
    assert answer.ok, answer.text
    return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def logged(control_plane, tmp_path_factory):
    """A model as `mlflow.onnx` saves it, weights beside the graph, among the artifacts."""
    os.environ["MLFLOW_TRACKING_TOKEN"] = ADMIN_TOKEN
    mlflow.set_tracking_uri(control_plane)
    folder = tmp_path_factory.mktemp("model") / "m"
    mlflow.onnx.save_model(dense_model(), str(folder), pip_requirements=["onnx"])
    assert any(file.stat().st_size == WEIGHTS.nbytes for file in folder.iterdir()), "the exporter puts large weights into a file of their own"
    get_artifact_repository("mlflow-artifacts:/0/models/m-1/artifacts").log_artifacts(str(folder))
    return "mlflow-artifacts:/0/models/m-1/artifacts"


def test_artifacts_are_kept_listed_fetched_and_removed(signed_in, tmp_path):
    repository = get_artifact_repository("mlflow-artifacts:/files/run/artifacts")
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "a.txt").write_text("a")
    (source / "deep" / "größe 1.bin").write_bytes(bytes(range(256)) * 4096)
    (source / "deep" / "er" / "empty").write_bytes(b"")
    repository.log_artifacts(str(source))
    repository.log_artifact(str(source / "a.txt"), "copies")
    assert [(info.path, info.is_dir, info.file_size) for info in repository.list_artifacts()] == [
        ("a.txt", False, 1),
        ("copies", True, None),
        ("deep", True, None),
    ]
    assert [info.path for info in repository.list_artifacts("deep")] == ["deep/er", "deep/größe 1.bin"]
    assert repository.list_artifacts("a.txt") == []
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    repository.download_artifacts("", str(fetched))
    for file in ["a.txt", "copies/a.txt", "deep/größe 1.bin", "deep/er/empty"]:
        original = source / (file if not file.startswith("copies") else "a.txt")
        assert (fetched / file).read_bytes() == original.read_bytes(), file
    repository.delete_artifacts("deep")
    assert [info.path for info in repository.list_artifacts()] == ["a.txt", "copies"]
    with pytest.raises(Exception, match="404|RESOURCE_DOES_NOT_EXIST|there is no artifact"):
        repository.download_artifacts("deep/er/empty", str(fetched))


def test_a_large_artifact_goes_through_whole(signed_in, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", str(1 << 20))
    path = tmp_path / "large.bin"
    block = RNG.bytes(1 << 20)
    with path.open("wb") as file:
        for _ in range(64):
            file.write(block)
    repository = get_artifact_repository("mlflow-artifacts:/files/large")
    repository.log_artifact(str(path))
    (tmp_path / "back").mkdir()
    back = repository.download_artifacts("large.bin", str(tmp_path / "back"))
    with open(back, "rb") as file:
        assert file.read() == block * 64


def test_a_logged_onnx_model_is_registered_deployed_and_loaded_back(signed_in, control_plane, logged):
    client = signed_in
    client.create_registered_model("dense 1", tags={"team": "vision"}, description="a layer")
    version = client.create_model_version("dense 1", logged, description="first", tags={"kind": "test"})
    assert (version.version, version.status) == ("1", "READY")
    client.set_registered_model_alias("dense 1", "champion", version.version)

    x = RNG.normal(size=(5, 64)).astype(np.float32)
    loaded = mlflow.onnx.load_model("models:/dense 1@champion")
    assert np.array_equal(numpy_helper.to_array(loaded.graph.initializer[0]), WEIGHTS)
    predicted = mlflow.pyfunc.load_model("models:/dense 1/1").predict(x)
    assert np.allclose(predicted["Y"], x @ WEIGHTS, atol=1e-4)

    # What a robot gets has its weights inside.
    name = urllib.parse.quote("dense 1")
    registered = native(control_plane, "GET", f"/models/{name}/versions/1")
    assert registered["deployable"] and registered["onnx"]["inputs"][0]["shape"] == [None, 64]
    assert registered["note"] == "", "it was loaded, in a process of its own"
    assert (registered["report"]["parameters"], registered["report"]["macs"]) == (WEIGHTS.size, WEIGHTS.size)
    [file] = [file for file in registered["files"] if file["path"] == "model.onnx"]
    answer = requests.get(f"{control_plane}/api/v1/artifacts/{file['sha256']}", auth=("a", ADMIN_TOKEN), timeout=60)
    assert hashlib.sha256(answer.content).hexdigest() == file["sha256"]
    whole = onnx.load_model_from_string(answer.content)
    onnx.checker.check_model(whole)
    assert np.array_equal(numpy_helper.to_array(whole.graph.initializer[0]), WEIGHTS)

    native(control_plane, "POST", "/targets", json={"name": "robot-1"})
    deployment = native(control_plane, "POST", "/deployments", json={"model": "dense 1", "version": "@champion", "targets": ["robot-1"]})
    assert (deployment["version"], deployment["digest"]) == ("1", registered["digest"])
    with pytest.raises(MlflowException, match="robot-1"):
        client.delete_model_version("dense 1", "1")


def test_a_pushed_bundle_is_loaded_by_the_stock_client(signed_in, control_plane, tmp_path):
    """Without a client of MLflow on the way in, and with nothing but it on the way out."""
    model, data = tmp_path / "model.onnx", tmp_path / "train.npy"
    model.write_bytes(dense_model().SerializeToString())
    np.save(data, RNG.normal(size=(300, 64)).astype(np.float32))
    edgeflow = pathlib.Path(os.environ["EDGEFLOW_BIN_DIR"]) / "edgeflow"
    name = "pushed größe #1"
    subprocess.run(
        [edgeflow, "--url", control_plane, "model", "push", model, "--name", name, "--baseline", data],
        env={**os.environ, "EDGEFLOW_TOKEN": ADMIN_TOKEN, "HOME": str(tmp_path)},
        check=True,
        timeout=120,
    )
    signed_in.set_registered_model_alias(name, "champion", "1")
    x = RNG.normal(size=(5, 64)).astype(np.float32)
    for uri in [f"models:/{name}/1", f"models:/{name}@champion"]:
        loaded = mlflow.onnx.load_model(uri)
        assert np.array_equal(numpy_helper.to_array(loaded.graph.initializer[0]), WEIGHTS), uri
    served = mlflow.pyfunc.load_model(f"models:/{name}/1")
    for given in [x, {"X": x}]:
        assert np.allclose(served.predict(given)["Y"], x @ WEIGHTS, atol=1e-4)
    registered = native(control_plane, "GET", f"/models/{urllib.parse.quote(name)}/versions/1")
    assert served.metadata.metadata == {"edgeflow.digest": registered["digest"]}
    folder = pathlib.Path(mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=str(tmp_path / "down")))
    assert json.loads((folder / "baseline.json").read_text())["features"], "with what robots have beside it"
    pull = [edgeflow, "--url", control_plane, "model", "pull", name, "@champion", "--out", tmp_path / "pulled"]
    for _ in range(2):  # the second time all of it is there
        subprocess.run(pull, env={**os.environ, "EDGEFLOW_TOKEN": ADMIN_TOKEN, "HOME": str(tmp_path)}, check=True, timeout=120)
    pulled = tmp_path / "pulled"
    assert sorted(file.name for file in pulled.iterdir()) == ["baseline.json", "model.onnx"]
    assert all((pulled / file).read_bytes() == (folder / file).read_bytes() for file in ["baseline.json", "model.onnx"])
    (pulled / "model.onnx").write_bytes(b"another")
    refused = subprocess.run(pull, env={**os.environ, "EDGEFLOW_TOKEN": ADMIN_TOKEN}, capture_output=True, text=True, timeout=120)
    assert refused.returncode == 1 and "--out" in refused.stderr, "what is there is not written over"
    copied = signed_in.copy_model_version(f"models:/{name}/1", "promoted")
    assert np.allclose(mlflow.pyfunc.load_model(f"models:/promoted/{copied.version}").predict(x)["Y"], x @ WEIGHTS, atol=1e-4)
    assert native(control_plane, "GET", "/models/promoted/versions/1")["digest"] == registered["digest"]


def test_registered_models(signed_in):
    client = signed_in
    made = client.create_registered_model("a", tags={"k": "1"}, description="first")
    assert (made.name, made.tags, made.description, made.latest_versions) == ("a", {"k": "1"}, "first", [])
    with pytest.raises(MlflowException) as taken:
        client.create_registered_model("a")
    assert taken.value.error_code == "RESOURCE_ALREADY_EXISTS"
    with pytest.raises(MlflowException) as slash:
        client.create_registered_model("a/b")
    assert slash.value.error_code == "INVALID_PARAMETER_VALUE"
    for name in ["b", "c"]:
        client.create_registered_model(name)
    first = client.search_registered_models("name LIKE '_'", max_results=2, order_by=["name DESC"])
    assert isinstance(first, PagedList) and [model.name for model in first] == ["c", "b"]
    rest = client.search_registered_models("name LIKE '_'", max_results=2, order_by=["name DESC"], page_token=first.token)
    assert [model.name for model in rest] == ["a"] and not rest.token
    client.set_registered_model_tag("a", "k", "2")
    assert [model.name for model in client.search_registered_models("tags.k = '2'")] == ["a"]
    client.delete_registered_model_tag("a", "k")
    client.update_registered_model("a", description="second")
    client.rename_registered_model("a", "z")
    renamed = client.get_registered_model("z")
    assert (renamed.name, renamed.description, renamed.tags) == ("z", "second", {})
    client.delete_registered_model("z")
    with pytest.raises(MlflowException) as gone:
        client.get_registered_model("z")
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_model_versions(signed_in, logged):
    client = signed_in
    client.create_registered_model("versions")
    for run in ["r1", "r2", "r1"]:
        client.create_model_version("versions", logged, run_id=run, run_link=f"https://runs/{run}")
    assert [version.version for version in client.search_model_versions("name = 'versions'")] == ["3", "2", "1"]
    found = client.search_model_versions("name = 'versions' AND run_id = 'r1'", order_by=["version_number ASC"], max_results=1)
    assert [version.version for version in found] == ["1"] and found.token
    one = client.get_model_version("versions", "1")
    assert (one.source, one.run_id, one.run_link, one.current_stage) == (logged, "r1", "https://runs/r1", "None")
    assert client.get_model_version_download_uri("versions", "1") == logged
    assert client.get_model_version_stages("versions", "1") is not None
    client.update_model_version("versions", "1", description="one")
    client.set_model_version_tag("versions", "1", "ok", "yes")
    one = client.get_model_version("versions", "1")
    assert (one.description, one.tags) == ("one", {"ok": "yes"})
    client.delete_model_version_tag("versions", "1", "ok")
    client.transition_model_version_stage("versions", "1", "Production")
    client.transition_model_version_stage("versions", "2", "Production", archive_existing_versions=True)
    latest = {version.current_stage: version.version for version in client.get_latest_versions("versions")}
    assert latest == {"None": "3", "Production": "2", "Archived": "1"}
    assert [version.version for version in client.get_latest_versions("versions", ["Production"])] == ["2"]
    client.set_registered_model_alias("versions", "champion", "2")
    assert client.get_model_version_by_alias("versions", "champion").version == "2"
    assert client.get_registered_model("versions").aliases == {"champion": "2"}
    client.delete_registered_model_alias("versions", "champion")
    with pytest.raises(MlflowException, match="champion"):
        client.get_model_version_by_alias("versions", "champion")
    copied = client.copy_model_version("models:/versions/2", "copies")
    assert copied.version == "1" and client.get_model_version_download_uri("copies", "1") == logged
    client.delete_model_version("versions", "2")
    with pytest.raises(MlflowException) as gone:
        client.get_model_version("versions", "2")
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.create_model_version("versions", logged).version == "4", "a number never comes again"


def test_bad_sources_and_paths_are_refused(signed_in, control_plane):
    client = signed_in
    client.create_registered_model("bad")
    for source in ["mlflow-artifacts:/0/../../etc", "file:///etc/passwd", "mlflow-artifacts:/0/nothing/here"]:
        with pytest.raises(MlflowException) as refused:
            client.create_model_version("bad", source)
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE", source
    assert list(client.search_model_versions("name = 'bad'")) == [], "nothing of it was kept"
    session = requests.Session()
    session.auth = ("anyone", ADMIN_TOKEN)
    for path in ["..%2F..%2Fetc%2Fpasswd", "a%2F..%2F..%2Fb", "%2Fetc%2Fpasswd", "a%00b"]:
        url = f"{control_plane}/api/2.0/mlflow-artifacts/artifacts/{path}"
        for method in ["PUT", "GET", "DELETE"]:
            request = requests.Request(method, url, data=b"x" if method == "PUT" else None)
            answer = session.send(session.prepare_request(request), timeout=10)
            assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE"), (method, path)


def test_a_graph_that_does_not_load_is_refused_with_why(signed_in, tmp_path):
    """Read it can be; only the runtime knows that there is no such operator."""
    model = dense_model()
    model.graph.node[0].op_type = "Frobnicate"
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    get_artifact_repository("mlflow-artifacts:/0/broken").log_artifacts(str(tmp_path))
    signed_in.create_registered_model("broken")
    with pytest.raises(MlflowException, match="Frobnicate"):
        signed_in.create_model_version("broken", "mlflow-artifacts:/0/broken")
    assert list(signed_in.search_model_versions("name = 'broken'")) == []


def test_prompts_are_kept_beside_models_and_not_listed_as_such(signed_in):
    mlflow.genai.register_prompt("greeting", "Hello {{name}}") if hasattr(mlflow, "genai") else pytest.skip("no prompts in this client")
    assert "greeting" not in [model.name for model in signed_in.search_registered_models()]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_log_model_to_load_model(signed_in, control_plane):
    """A team's training script, with one line changed."""
    client = signed_in
    mlflow.set_experiment("round trip")
    with mlflow.start_run() as run:
        mlflow.log_params({"layers": 1})
        mlflow.log_metric("accuracy", 0.5)
        info = mlflow.onnx.log_model(dense_model(), name="model", registered_model_name="round-trip", pip_requirements=["onnx"])
        mlflow.log_text("notes", "deep/notes.txt")
    with mlflow.start_run() as second:
        mlflow.log_metric("accuracy", 0.75)
        mlflow.onnx.log_model(dense_model(), name="model", registered_model_name="round-trip", pip_requirements=["onnx"])
    version = client.get_model_version("round-trip", "1")
    assert (version.run_id, version.status) == (run.info.run_id, "READY")
    client.set_registered_model_alias("round-trip", "champion", "1")
    x = RNG.normal(size=(3, 64)).astype(np.float32)
    for uri in ["models:/round-trip@champion", "models:/round-trip/1", f"models:/{info.model_id}"]:
        assert np.allclose(mlflow.pyfunc.load_model(uri).predict(x)["Y"], x @ WEIGHTS, atol=1e-4), uri
    registered = native(control_plane, "GET", "/models/round-trip/versions/1")
    assert registered["deployable"] and registered["model_id"] == info.model_id, registered["note"]
    diff = native(control_plane, "GET", "/models/round-trip/versions/1/diff", params={"with": "2"})
    assert diff["metrics"] == {"accuracy": {"before": 0.5, "after": 0.75}}
    assert diff["params"] == {"layers": {"before": "1", "after": None}} and diff["compatible"]

    # `runs:/`, and the older routes of a run's artifacts.
    assert mlflow.register_model(f"models:/{info.model_id}", "again").version == "1"

    def get(route, **query):
        return requests.get(f"{control_plane}{route}", params=query, auth=("a", ADMIN_TOKEN), timeout=10)

    listed = get("/api/2.0/mlflow/artifacts/list", run_id=run.info.run_id, path="deep").json()
    assert [file["path"] for file in listed["files"]] == ["deep/notes.txt"] and listed["root_uri"] == run.info.artifact_uri
    assert get("/get-artifact", run_uuid=run.info.run_id, path="deep/notes.txt").text == "notes"
    assert get("/model-versions/get-artifact", name="round-trip", version="1", path="MLmodel").text.startswith("artifact_path")
    assert get("/get-artifact", run_uuid=run.info.run_id, path="../../x").status_code == 400
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/deep/notes.txt") == "notes"
    assert second.info.run_id != run.info.run_id
