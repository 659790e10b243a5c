"""The API against its own description: requests made up from docs/openapi.json, well-formed and not."""

import pathlib
import subprocess
import sys

import requests
from conftest import ADMIN_TOKEN

ROOT = pathlib.Path(__file__).parents[2]
# Most seconds of the whole run.
SECONDS = 45


def test_no_request_fails_and_every_answer_is_described(control_plane, tmp_path):
    command = [sys.executable, "-m", "schemathesis.cli", "run", ROOT / "docs/openapi.json", "--url", control_plane]
    command += ["--header", f"Authorization: Bearer {ADMIN_TOKEN}", "--no-color", "--warnings", "off"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--max-time", str(SECONDS), "--continue-on-failure"]
    command += ["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"]
    # A stream has no end; a robot's batches are compressed by a way the tool has no name for, and are fuzzed by themselves.
    command += ["--exclude-path", "/api/v1/stream", "--exclude-operation-id", "post_targets_by_target_telemetry"]
    done = subprocess.run([*command, "--request-timeout", "20"], capture_output=True, text=True, cwd=tmp_path, timeout=SECONDS * 5)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    counted = requests.get(f"{control_plane}/metrics", timeout=10).text.splitlines()
    asked = [line for line in counted if line.startswith("edgeflow_http_requests_total")]
    assert sum(float(line.rsplit(" ", 1)[1]) for line in asked) > 500, "it asked for something"
    assert not [line for line in asked if 'status="5' in line], "nothing failed, whoever asked"
