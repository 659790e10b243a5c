"""The stock client's uploads and downloads in parts."""

import os

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException

PART_BYTES = 5 << 20
SIZE = 3 * PART_BYTES + 12_345


def requests_of(control_plane, route):
    """How many requests came to a route so far."""
    lines = requests.get(f"{control_plane}/metrics", timeout=10).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("edgeflow_http_requests") and f'route="{route}"' in line)


@pytest.fixture
def in_parts(monkeypatch):
    for name, value in {
        "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true",
        "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": PART_BYTES,
        "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": PART_BYTES,
        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true",
        "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": PART_BYTES,
    }.items():
        monkeypatch.setenv(name, str(value))


def test_a_large_file_goes_up_and_down_in_parts(control_plane, signed_in, in_parts, tmp_path):
    content = os.urandom(SIZE)
    (tmp_path / "weights 1.bin").write_bytes(content)
    (tmp_path / "small.txt").write_text("one PUT")
    run_id = signed_in.create_run("0").info.run_id
    signed_in.log_artifacts(run_id, tmp_path, "model/data")
    listed = {one.path: one.file_size for one in signed_in.list_artifacts(run_id, "model/data")}
    assert listed == {"model/data/weights 1.bin": SIZE, "model/data/small.txt": 7}
    fetched = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="model/data/weights 1.bin", dst_path=tmp_path / "down")
    with open(fetched, "rb") as file:
        assert file.read() == content
    # That it was in parts, and that each came once.
    base = "/api/2.0/mlflow-artifacts"
    assert requests_of(control_plane, f"{base}/mpu/parts/{{upload}}/{{number}}") == 4
    assert requests_of(control_plane, f"{base}/mpu/complete/{{*folder}}") == 1
    assert requests_of(control_plane, f"{base}/presigned-content/{{sha256}}") == 4


def test_an_upload_that_fails_is_given_up(control_plane, signed_in, in_parts, tmp_path, monkeypatch):
    from mlflow.store.artifact.http_artifact_repo import HttpArtifactRepository

    (tmp_path / "weights.bin").write_bytes(os.urandom(SIZE))
    run_id = signed_in.create_run("0").info.run_id
    whole = HttpArtifactRepository._upload_part

    def broken(credential, local_file, size, start_byte):
        if credential.part_number == 3:
            raise ConnectionError("the link is gone")
        return whole(credential, local_file, size, start_byte)

    monkeypatch.setattr(HttpArtifactRepository, "_upload_part", staticmethod(broken))
    with pytest.raises(MlflowException, match="at least one part"):
        signed_in.log_artifact(run_id, str(tmp_path / "weights.bin"))
    assert requests_of(control_plane, "/api/2.0/mlflow-artifacts/mpu/abort/{*folder}") == 1
    assert signed_in.list_artifacts(run_id) == []
