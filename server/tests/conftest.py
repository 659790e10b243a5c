"""A control plane for the tests of stock clients."""

import os
import pathlib
import subprocess

import pytest

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


@pytest.fixture
def signed_in(control_plane, monkeypatch):
    """The stock client, with the one line that a team changes."""
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", ADMIN_TOKEN)
    mlflow.set_tracking_uri(control_plane)
    mlflow.set_registry_uri(control_plane)
    return mlflow.MlflowClient()
