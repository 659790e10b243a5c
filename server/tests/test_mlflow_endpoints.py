"""The table in docs/mlflow.md against the control plane, and against the endpoints that MLflow's own server has."""

import fnmatch
import pathlib
import re

import pytest
import requests
from conftest import ADMIN_TOKEN

DOCS = pathlib.Path(__file__).parents[2] / "docs/mlflow.md"
BASE = "/api/2.0/mlflow"
# What MLflow's server has for its own web page: the page itself.
PAGE = {"/", "/static-files/{}", "/build/{}"}
# A route of MLflow's whose prefix lacks a slash; its web page asks at the right place.
SLIP = "/api/2.0mlflow/experiments/search-datasets"


def table():
    """(pattern, methods, what is answered) of each endpoint in the table."""
    rows = []
    text = DOCS.read_text().split("## Endpoints")[1].split("\n## ")[0]
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            for name in re.findall(r"`([^`]+)`", cells[0]):
                rows.append((name if name.startswith("/") else f"{BASE}/{name}", cells[1], cells[2]))
    assert len(rows) > 80
    return rows


ROWS = table()


def same(pattern, path):
    """Whether a row of the table is about a path, whose variable parts are `{}`."""
    if pattern.endswith("/**"):
        return path == pattern[:-3] or path.startswith(pattern[:-2])
    return re.sub(r"\{[^}]*\}", "{}", pattern) == path


def theirs():
    """(path, method) of every endpoint of MLflow's own server, below /api/2.0, variable parts as `{}`."""
    from mlflow.server import app

    found = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<[^>]*>", "{}", rule.rule)
        path = re.sub(r"^/(api|ajax-api)/[23]\.0", "/api/2.0", path)
        if path in PAGE or path == SLIP:
            continue
        if path == "/api/2.0/mlflow/server-info":
            path = "/api/3.0/mlflow/server-info"
        found |= {(path, method) for method in rule.methods - {"HEAD", "OPTIONS"}}
    assert len(found) > 150
    return sorted(found)


def ask(control_plane, method, path, **more):
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    body = {} if method in ("POST", "PATCH", "PUT") else None
    return requests.request(method, control_plane + path, headers=headers, json=body, timeout=30, **more)


def check(answer, path, method, says):
    told = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
    if says.startswith("501"):
        assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED"), told
        return
    assert says.startswith("served"), says
    assert answer.status_code < 500, told
    if not answer.ok:
        assert answer.json()["error_code"] not in ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"), told
        assert isinstance(answer.json()["message"], str), told


@pytest.mark.parametrize(("pattern", "methods", "says"), ROWS, ids=[f"{methods} {pattern}" for pattern, methods, _ in ROWS])
def test_the_table_says_what_is_answered(control_plane, pattern, methods, says):
    path = re.sub(r"\{[^}]*\}", "0", pattern).replace("**", "search")
    for method in ["GET", "POST"] if methods == "all" else methods.split(", "):
        check(ask(control_plane, method, path), path, method, says)
        for prefix in ["/api/3.0/", "/ajax-api/2.0/", "/ajax-api/3.0/"]:
            if path.startswith("/api/2.0/"):
                again = path.replace("/api/2.0/", prefix)
                check(ask(control_plane, method, again), again, method, says)
        if path.startswith("/api/2.0/mlflow/"):
            unknown = requests.request(method, control_plane + path, json={}, timeout=30)
            assert (unknown.status_code, unknown.json()["error_code"]) == (401, "UNAUTHENTICATED"), f"{method} {path}"
    for method in {"GET", "POST", "PATCH", "PUT", "DELETE"} - set(methods.split(", ")):
        if methods != "all" and path.startswith(BASE + "/") and not fnmatch.fnmatch(path, BASE + "/*/0*") and path != f"{BASE}/logged-models/search":
            other = ask(control_plane, method, path)
            assert (other.status_code, other.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND"), f"{method} {path}: {other.text}"


def test_every_endpoint_of_mlflows_own_server_is_in_the_table(control_plane):
    missing = []
    for path, method in theirs():
        says = [answer for pattern, methods, answer in ROWS if same(pattern, path) and (methods == "all" or method in methods.split(", "))]
        if not says:
            missing.append(f"{method} {path}")
            continue
        check(ask(control_plane, method, path.replace("{}", "0")), path, method, says[0])
    assert not missing


def test_what_nobody_knows_is_not_found(control_plane):
    for method, path in [("GET", f"{BASE}/nothing"), ("POST", f"{BASE}/runs/nothing"), ("GET", "/api/2.0/mlflow-artifacts/nothing")]:
        answer = ask(control_plane, method, path)
        assert (answer.status_code, answer.json()["error_code"]) == (404, "ENDPOINT_NOT_FOUND"), path
