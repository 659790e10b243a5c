"""What no client should send: refused with the right status in MLflow's shape, and nothing of it is kept."""

import concurrent.futures
import json

import pytest
import requests
from conftest import ADMIN_TOKEN
from test_mlflow_endpoints import BASE, ROWS

HEADERS = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
# Every route that takes JSON.
WRITES = [
    (method, pattern.replace("{model_id}", "m-0").replace("{tag_key}", "t"))
    for pattern, methods, says in ROWS
    if says.startswith("served") and pattern.startswith(f"{BASE}/")
    for method in methods.split(", ")
    if method in ("POST", "PATCH")
]
# Bodies whose fault may lie in a field that a route does not have, and passes over.
READABLE = {"not text", "half a surrogate", "wrong kinds", "a huge number"}
DEEP = b"[" * 50_000
BODIES = {
    "broken": b'{"name": ',
    "cut text": b'{"name": "abc',
    "not text": b'{"name": "\xff\xfe"}',
    "half a surrogate": b'{"name": "\\ud800"}',
    "deep": b'{"name": ' + DEEP,
    "a list": b"[1, 2]",
    "a number": b"7",
    "a text": b'"run"',
    "two": b"{} {}",
    "wrong kinds": json.dumps({"name": {"a": 1}, "run_id": [1], "experiment_id": {}, "key": 1, "value": [], "metrics": 3, "filter": 7}).encode(),
    "a huge number": b'{"max_results": 1e999, "timestamp": 99999999999999999999, "step": -1e400}',
}


def post(control_plane, path, body, method="POST"):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    headers = {**HEADERS, "Content-Type": "application/json"}
    return requests.request(method, f"{control_plane}{path}", data=body, headers=headers, timeout=60)


def refused(answer, status, code, says=""):
    """That it was refused so."""
    told = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}"
    body = answer.json()
    assert (answer.status_code, body["error_code"]) == (status, code), told
    assert says in body["message"], told


def everything(control_plane):
    """All that is there."""
    runs = post(control_plane, f"{BASE}/runs/search", {"experiment_ids": ["0"], "max_results": 1000}).json()
    experiments = post(control_plane, f"{BASE}/experiments/search", {"max_results": 1000, "view_type": "ALL"}).json()
    models = requests.get(f"{control_plane}{BASE}/registered-models/search", headers=HEADERS, timeout=30).json()
    logged = post(control_plane, f"{BASE}/logged-models/search", {"experiment_ids": ["0"]}).json()
    return runs, experiments, models, logged


@pytest.fixture
def run_id(control_plane):
    made = post(control_plane, f"{BASE}/runs/create", {"experiment_id": "0", "start_time": 1})
    return made.json()["run"]["info"]["run_id"]


@pytest.mark.parametrize("name", BODIES)
def test_what_is_no_request_is_refused_everywhere_and_leaves_nothing(control_plane, name):
    before = everything(control_plane)
    for method, path in WRITES:
        answer = post(control_plane, path, BODIES[name], method)
        if answer.ok and name in READABLE and path.rsplit("/", 1)[1].startswith("search"):
            continue
        assert 400 <= answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        assert isinstance(answer.json()["message"], str) and answer.json()["error_code"] != "ENDPOINT_NOT_FOUND", f"{method} {path}"
    assert everything(control_plane) == before


def test_fields_nobody_knows_are_passed_over(control_plane, run_id):
    more = {"no_such_field": {"deep": [1, {"x": None}]}, "run_id": run_id}
    for path, body in [
        ("/runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}),
        ("/runs/log-batch", {"metrics": [{"key": "n", "value": 2, "timestamp": 1, "other": 7}]}),
        ("/runs/set-tag", {"key": "t", "value": "1"}),
    ]:
        assert post(control_plane, BASE + path, {**more, **body}).ok, path
    data = requests.get(f"{control_plane}{BASE}/runs/get", params={"run_id": run_id, "what": "else"}, headers=HEADERS, timeout=10).json()
    assert {metric["key"] for metric in data["run"]["data"]["metrics"]} == {"m", "n"}


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("metrics.m >", 12),
        ("metrics.m > 1 AND", 18),
        ("params.'", 8),
        ("tags.größe = 'x' OR x", 18),
        ("(" * 3000, 3001),
        ("metrics.m > 1 " * 300, 15),
        ("\x00", 1),
    ],
)
def test_a_filter_that_does_not_read_is_shown_its_place(control_plane, text, at):
    for path in ["/runs/search", "/logged-models/search"]:
        answer = post(control_plane, BASE + path, {"experiment_ids": ["0"], "filter": text})
        refused(answer, 400, "INVALID_PARAMETER_VALUE")
        assert "at character" in answer.json()["message"] or "at its end" in answer.json()["message"], answer.text


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd", "a/%2e%2e/x/..", "..\\x", "a\x00b", "C:/x"])
def test_no_path_leads_out_of_a_run(control_plane, run_id, path):
    for route in [f"{BASE}/artifacts/list", f"{BASE}/get-artifact", "/get-artifact"]:
        answer = requests.get(f"{control_plane}{route}", params={"run_id": run_id, "path": path}, headers=HEADERS, timeout=10)
        refused(answer, 400, "INVALID_PARAMETER_VALUE", "path")
    listed = requests.get(f"{control_plane}/api/2.0/mlflow-artifacts/artifacts", params={"path": path.strip("/") + "/.."}, headers=HEADERS, timeout=10)
    refused(listed, 400, "INVALID_PARAMETER_VALUE", "path")


def test_a_wrong_digest_keeps_nothing(control_plane):
    path = f"{control_plane}/api/2.0/mlflow-artifacts/artifacts/digest/x"
    wrong = {**HEADERS, "Content-Digest": f"sha-256=:{'A' * 43}=:"}
    refused(requests.put(path, data=b"content", headers=wrong, timeout=10), 400, "INVALID_PARAMETER_VALUE", "digest")
    refused(requests.put(path, data=b"content", headers={**HEADERS, "Content-Digest": "sha-256=x"}, timeout=10), 400, "INVALID_PARAMETER_VALUE")
    refused(requests.get(path, headers=HEADERS, timeout=10), 404, "RESOURCE_DOES_NOT_EXIST")


def test_names_with_slashes_and_other_letters(control_plane):
    for name in ["a/b/größe 模型", "🤖", "x" * 500, "tab\there", "'; DROP TABLE runs; --"]:
        made = post(control_plane, f"{BASE}/experiments/create", {"name": name})
        assert made.ok, made.text
        again = requests.get(f"{control_plane}{BASE}/experiments/get-by-name", params={"experiment_name": name}, headers=HEADERS, timeout=10)
        assert again.json()["experiment"]["name"] == name
    for name in ["a/b", "a:b", "", " a", "x" * 300]:
        refused(post(control_plane, f"{BASE}/registered-models/create", {"name": name}), 400, "INVALID_PARAMETER_VALUE")
    for name in ["größe 模型", "🤖 1.0"]:
        assert post(control_plane, f"{BASE}/registered-models/create", {"name": name}).ok
        shown = requests.get(f"{control_plane}{BASE}/registered-models/get", params={"name": name}, headers=HEADERS, timeout=10)
        assert shown.json()["registered_model"]["name"] == name


def test_parameters_of_ten_megabytes_are_cut_and_beyond_the_limit_refused(control_plane, run_id):
    assert post(control_plane, f"{BASE}/runs/log-parameter", {"run_id": run_id, "key": "long", "value": "x" * (10 << 20)}).ok
    read = requests.get(f"{control_plane}{BASE}/runs/get", params={"run_id": run_id}, headers=HEADERS, timeout=10).json()
    assert [len(param["value"]) for param in read["run"]["data"]["params"]] == [6000]
    refused(post(control_plane, f"{BASE}/runs/log-parameter", {"run_id": run_id, "key": "more", "value": "x" * (33 << 20)}), 413, "REQUEST_LIMIT_EXCEEDED")
    refused(post(control_plane, f"{BASE}/runs/log-parameter", {"run_id": run_id, "key": "k" * (10 << 20), "value": "x"}), 400, "INVALID_PARAMETER_VALUE")
    read = requests.get(f"{control_plane}{BASE}/runs/get", params={"run_id": run_id}, headers=HEADERS, timeout=10).json()
    assert len(read["run"]["data"]["params"]) == 1


def test_what_was_deleted_takes_nothing(control_plane):
    experiment = post(control_plane, f"{BASE}/experiments/create", {"name": "to be deleted"}).json()["experiment_id"]
    run_id = post(control_plane, f"{BASE}/runs/create", {"experiment_id": experiment}).json()["run"]["info"]["run_id"]
    model = post(control_plane, f"{BASE}/logged-models", {"experiment_id": experiment, "name": "m"}).json()["model"]["info"]["model_id"]
    assert post(control_plane, f"{BASE}/experiments/delete", {"experiment_id": experiment}).ok
    refused(post(control_plane, f"{BASE}/runs/create", {"experiment_id": experiment}), 400, "INVALID_PARAMETER_VALUE", "deleted")
    refused(post(control_plane, f"{BASE}/logged-models", {"experiment_id": experiment, "name": "n"}), 400, "INVALID_PARAMETER_VALUE", "deleted")
    for path, body in [
        ("log-metric", {"key": "m", "value": 1, "timestamp": 1}),
        ("log-parameter", {"key": "p", "value": "1"}),
        ("log-batch", {"tags": [{"key": "t", "value": "1"}]}),
        ("set-tag", {"key": "t", "value": "1"}),
        ("log-inputs", {"models": [{"model_id": model}]}),
        ("outputs", {"models": [{"model_id": model, "step": 1}]}),
        ("update", {"status": "FINISHED"}),
    ]:
        refused(post(control_plane, f"{BASE}/runs/{path}", {"run_id": run_id, **body}), 400, "INVALID_PARAMETER_VALUE", "deleted")
    untouched = requests.get(f"{control_plane}{BASE}/runs/get", params={"run_id": run_id}, headers=HEADERS, timeout=10).json()["run"]
    assert "metrics" not in untouched["data"] and "params" not in untouched["data"] and "model_outputs" not in untouched.get("outputs", {})
    for path, body in [("create", {"name": "gone", "source": f"runs:/{'f' * 32}/model"}), ("set-tag", {"name": "gone", "version": "1", "key": "a"})]:
        refused(post(control_plane, f"{BASE}/model-versions/{path}", body), 404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("route", ["experiments", "registered-models"])
def test_of_many_who_create_the_same_name_one_does(control_plane, route):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(control_plane, f"{BASE}/{route}/create", {"name": "the same"}), range(32)))
    assert [answer.status_code for answer in answers].count(200) == 1
    for answer in answers:
        if not answer.ok:
            refused(answer, 400, "RESOURCE_ALREADY_EXISTS", "the same")
