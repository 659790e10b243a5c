"""A large artifact goes through the control plane without staying in its memory, up and down."""

import os
import pathlib
import subprocess

import pytest
import requests
from conftest import ADMIN_TOKEN

MIB = 1 << 20
SIZE_MIB = 512
# An eighth of the file: whoever held it whole, or a copy of a quarter, would be seen.
MOST_MIB = 64


@pytest.fixture
def server(tmp_path):
    """Address and process of a control plane of its own: its memory is looked at."""
    binary = pathlib.Path(os.environ["EDGEFLOW_BIN_DIR"]) / "edgeflow-server"
    command = [binary, "--data-dir", tmp_path, "--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0"]
    process = subprocess.Popen(command, env={**os.environ, "EDGEFLOW_ADMIN_TOKEN": ADMIN_TOKEN}, stdout=subprocess.PIPE, text=True)
    try:
        yield next(word for word in process.stdout.readline().split() if word.startswith("http://")), process
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0


def memory_mib(process, field):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) / 1024


def test_a_large_artifact_goes_up_and_down_in_flat_memory(server):
    url, process = server
    before = memory_mib(process, "VmRSS")
    block = os.urandom(MIB)
    address, login = f"{url}/api/2.0/mlflow-artifacts/artifacts/large/file.bin", {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    assert requests.put(address, data=(block for _ in range(SIZE_MIB)), headers=login, timeout=300).status_code == 200
    assert memory_mib(process, "VmHWM") - before < MOST_MIB, "going up"
    with requests.get(address, headers=login, stream=True, timeout=300) as answer:
        assert answer.status_code == 200
        parts = [part == block for part in answer.iter_content(MIB)]
    assert parts == [True] * SIZE_MIB
    assert memory_mib(process, "VmHWM") - before < MOST_MIB, "coming down"
