"""The stock MLflow client against a real control plane: its token gets it in, and what is not there yet is said clearly."""

import os
import pathlib
import subprocess

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

ADMIN_TOKEN = "admin-token-of-this-test"


@pytest.fixture(scope="module")
def control_plane(tmp_path_factory):
    """Address of an edgeflow-server on free ports with its own data folder."""
    binary = pathlib.Path(os.environ["EDGEFLOW_BIN_DIR"]) / "edgeflow-server"
    command = [binary, "--data-dir", tmp_path_factory.mktemp("data"), "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"]
    environment = {**os.environ, "EDGEFLOW_ADMIN_TOKEN": ADMIN_TOKEN}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        first_line = server.stdout.readline()
        yield next(word for word in first_line.split() if word.startswith("http://"))
    finally:
        server.terminate()
        assert server.wait(timeout=20) == 0


@pytest.fixture(autouse=True)
def no_retries(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def test_the_token_of_the_mlflow_client_is_the_bearer_token(control_plane, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "not-the-token")
    with pytest.raises(MlflowException) as refused:
        MlflowClient(control_plane).search_experiments()
    assert "401" in str(refused.value) or "token" in str(refused.value)


def test_routes_that_are_not_there_yet_answer_in_mlflows_own_shape(control_plane, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", ADMIN_TOKEN)
    with pytest.raises(MlflowException) as missing:
        MlflowClient(control_plane).search_registered_models()
    assert missing.value.error_code == "NOT_IMPLEMENTED"
    assert "the model registry" in str(missing.value), "the message says what is missing"
