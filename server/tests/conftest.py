"""A control plane for the tests of stock clients."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest
import requests

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


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory):
    """Address of MLflow's own server, with a database of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while True:
            assert server.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            try:
                if requests.get(f"{address}/health", timeout=5).ok:
                    break
            except requests.ConnectionError:
                time.sleep(0.2)
        yield address
    finally:
        # It has children of its own.
        os.killpg(server.pid, 15)
        server.wait(timeout=60)


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
