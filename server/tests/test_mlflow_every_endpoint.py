"""The stock client through every endpoint that MLflow's clients have, with the control plane's own counters as witness."""

import re

import mlflow
import pytest
import requests
from conftest import ADMIN_TOKEN
from mlflow.entities import Dataset, DatasetInput, LoggedModelInput, LoggedModelOutput, LoggedModelStatus, Metric, Param, RunTag
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

EXPERIMENTS = ["POST create", "GET get", "GET get-by-name", "POST search", "POST update", "POST delete", "POST restore"]
EXPERIMENTS += ["POST set-experiment-tag", "POST delete-experiment-tag"]
RUNS = ["POST create", "GET get", "POST search", "POST update", "POST delete", "POST restore", "POST log-metric", "POST log-parameter"]
RUNS += ["POST log-batch", "POST log-inputs", "POST outputs", "POST set-tag", "POST delete-tag"]
MODELS = ["POST create", "GET get", "GET search", "PATCH update", "POST rename", "DELETE delete", "POST set-tag", "DELETE delete-tag"]
MODELS += ["POST alias", "GET alias", "DELETE alias", "POST get-latest-versions"]
VERSIONS = ["POST create", "GET get", "GET search", "PATCH update", "DELETE delete", "POST set-tag", "DELETE delete-tag"]
VERSIONS += ["POST transition-stage", "GET get-download-uri"]
LOGGED = ["POST ", "GET /{model_id}", "PATCH /{model_id}", "DELETE /{model_id}", "POST /search", "PATCH /{model_id}/tags"]
LOGGED += ["DELETE /{model_id}/tags/{*key}", "POST /{model_id}/params"]
ARTIFACTS = ["GET artifacts", "GET artifacts/{*path}", "PUT artifacts/{*path}", "DELETE artifacts/{*path}"]
ARTIFACTS += ["POST mpu/create/{*folder}", "PUT mpu/parts/{upload}/{number}", "POST mpu/complete/{*folder}", "POST mpu/abort/{*folder}"]
ARTIFACTS += ["GET presigned/{*path}", "GET presigned-content/{sha256}"]


def below(folder, endpoints):
    """(method, route) of each."""
    return {(one.split(" ", 1)[0], f"/api/2.0/{folder}{one.split(' ', 1)[1]}") for one in endpoints}


WANTED = below("mlflow/experiments/", EXPERIMENTS) | below("mlflow/runs/", RUNS) | below("mlflow/logged-models", LOGGED)
WANTED |= below("mlflow/registered-models/", MODELS) | below("mlflow/model-versions/", VERSIONS) | below("mlflow-artifacts/", ARTIFACTS)
WANTED |= {("GET", "/api/2.0/mlflow/metrics/get-history"), ("GET", "/api/2.0/mlflow/metrics/get-history-bulk-interval")}
WANTED |= {("GET", "/api/2.0/mlflow/artifacts/list"), ("GET", "/api/2.0/mlflow/get-artifact"), ("GET", "/get-artifact")}
WANTED |= {("GET", "/api/3.0/mlflow/server-info"), ("GET", "/version"), ("GET", "/health")}


def served(control_plane):
    """(method, route) of every request that was answered well."""
    found = set()
    for line in requests.get(f"{control_plane}/metrics", timeout=10).text.splitlines():
        if line.startswith("edgeflow_http_requests_total"):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', line))
            if labels["status"].startswith("2"):
                found.add((labels["method"], labels["route"]))
    return found


def track(client):
    """Experiments and runs; the id of a run."""
    experiment = client.create_experiment("every endpoint", tags={"a": "1"})
    client.get_experiment_by_name("every endpoint")
    client.set_experiment_tag(experiment, "b", "2")
    client.delete_experiment_tag(experiment, "b")
    client.rename_experiment(experiment, "every endpoint, renamed")
    client.delete_experiment(experiment)
    client.restore_experiment(experiment)
    assert client.search_experiments(filter_string="name LIKE '%renamed'")[0].experiment_id == experiment
    assert client.get_experiment(experiment).tags == {"a": "1"}

    run_id = client.create_run(experiment).info.run_id
    client.log_metric(run_id, "m", 0.5, step=3)
    client.log_param(run_id, "p", "1")
    client.log_batch(run_id, [Metric("m", 0.25, 7, 4)], [Param("q", "2")], [RunTag("t", "3")])
    client.set_tag(run_id, "gone", "x")
    client.delete_tag(run_id, "gone")
    client.log_inputs(run_id, [DatasetInput(Dataset("d", "abc", "local", "x"), [])])
    client.update_run(run_id, name="named")
    client.delete_run(run_id)
    client.restore_run(run_id)
    assert [one.value for one in client.get_metric_history(run_id, "m")] == [0.25, 0.5]
    assert client.get_run(run_id).data.params == {"p": "1", "q": "2"}
    assert client.search_runs([experiment], "metrics.m < 0.4 AND params.q IN ('2')")[0].info.run_name == "named"
    return experiment, run_id


def keep_models(client, experiment, run_id):
    """Logged models; the id of one with parameters and a metric."""
    model_id = client.create_logged_model(experiment, name="m", source_run_id=run_id, params={"depth": "3"}).model_id
    client.log_outputs(run_id, [LoggedModelOutput(model_id, step=4)])
    client.log_inputs(run_id, models=[LoggedModelInput(model_id)])
    client.log_metric(run_id, "acc", 0.9, model_id=model_id)
    client.log_model_params(model_id, {"width": "4"})
    client.set_logged_model_tags(model_id, {"k": "1", "l": "2"})
    client.delete_logged_model_tag(model_id, "l")
    client.finalize_logged_model(model_id, LoggedModelStatus.READY)
    assert client.get_logged_model(model_id).tags == {"k": "1"}
    assert [one.model_id for one in client.search_logged_models([experiment], "metrics.acc > 0.5")] == [model_id]
    client.delete_logged_model(client.create_logged_model(experiment, name="n").model_id)
    return model_id


def keep_artifacts(client, run_id, monkeypatch, tmp_path):
    """Files, whole and in parts."""
    (tmp_path / "small.txt").write_text("small")
    (tmp_path / "large.bin").write_bytes(bytes(range(256)) * 50_000)
    # Asks what the server can.
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "100")
    client.log_artifact(run_id, str(tmp_path / "large.bin"), "whole")
    client.log_artifact(run_id, str(tmp_path / "small.txt"), "a/b")
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/a/b/small.txt") == "small"
    for name in ["UPLOAD", "DOWNLOAD"]:
        monkeypatch.setenv(f"MLFLOW_ENABLE_PROXY_MULTIPART_{name}", "true")
        monkeypatch.setenv(f"MLFLOW_MULTIPART_{name}_CHUNK_SIZE", "5242880")
    client.log_artifact(run_id, str(tmp_path / "large.bin"))
    fetched = client.download_artifacts(run_id, "large.bin", tmp_path / "..")
    with open(fetched, "rb") as file:
        assert file.read() == (tmp_path / "large.bin").read_bytes()
    repository = get_artifact_repository(client.get_run(run_id).info.artifact_uri)
    given_up = repository.create_multipart_upload("x.bin", 2)
    repository.abort_multipart_upload("x.bin", given_up.upload_id)
    assert {one.path for one in client.list_artifacts(run_id)} == {"a", "large.bin", "whole"}
    repository.delete_artifacts("a")
    assert {one.path for one in client.list_artifacts(run_id)} == {"large.bin", "whole"}


def register(client, run_id, model_id):
    """Registered models and their versions."""
    client.create_registered_model("reader", tags={"a": "1"}, description="first")
    client.update_registered_model("reader", "second")
    client.set_registered_model_tag("reader", "b", "2")
    client.delete_registered_model_tag("reader", "b")
    version = client.create_model_version("reader", f"runs:/{run_id}/whole", run_id, model_id=model_id).version
    client.update_model_version("reader", version, "of a run")
    client.set_model_version_tag("reader", version, "k", "1")
    client.delete_model_version_tag("reader", version, "k")
    client.transition_model_version_stage("reader", version, "Staging")
    client.set_registered_model_alias("reader", "best", version)
    assert client.get_model_version_by_alias("reader", "best").version == version
    assert [one.version for one in client.get_latest_versions("reader", ["Staging"])] == [version]
    assert client.get_model_version("reader", version).description == "of a run"
    assert client.search_model_versions("name = 'reader'")[0].current_stage == "Staging"
    assert client.search_registered_models("name ILIKE 'READER'")[0].aliases == {"best": version}
    assert client.get_model_version_download_uri("reader", version).startswith("mlflow-artifacts:/")
    client.delete_registered_model_alias("reader", "best")
    client.rename_registered_model("reader", "writer")
    assert client.get_registered_model("writer").description == "second"
    return version


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_stock_client_uses_every_endpoint(control_plane, signed_in, monkeypatch, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    experiment, run_id = track(signed_in)
    model_id = keep_models(signed_in, experiment, run_id)
    keep_artifacts(signed_in, run_id, monkeypatch, folder)
    version = register(signed_in, run_id, model_id)

    # What no call of the client asks for: MLflow's web page and older clients do.
    def get(route, **query):
        answer = requests.get(control_plane + route, params=query, headers={"Authorization": f"Bearer {ADMIN_TOKEN}"}, timeout=10)
        assert answer.ok, answer.text
        return answer

    shown = get("/api/2.0/mlflow/model-versions/get", name="writer", version=version).json()["model_version"]
    assert shown["model_params"] == [{"name": "depth", "value": "3"}, {"name": "width", "value": "4"}]
    assert [(one["key"], one["value"], one["run_id"]) for one in shown["model_metrics"]] == [("acc", 0.9, run_id)]
    bulk = get("/api/2.0/mlflow/metrics/get-history-bulk-interval", run_ids=run_id, metric_key="m", max_results=10)
    assert [one["step"] for one in bulk.json()["metrics"]] == [3, 4]
    assert get("/api/2.0/mlflow/artifacts/list", run_id=run_id, path="whole").json()["files"][0]["path"] == "whole/large.bin"
    for path in ["/api/2.0/mlflow/get-artifact", "/get-artifact"]:
        assert len(get(path, run_id=run_id, path="whole/large.bin").content) == 12_800_000
    assert get("/version").text == mlflow.__version__ and get("/health").text == "OK"

    signed_in.delete_model_version("writer", version)
    signed_in.delete_registered_model("writer")
    assert WANTED - served(control_plane) == set()
