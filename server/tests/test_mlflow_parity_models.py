"""Searches for registered models, their versions and logged models, held against MLflow's own server on the same data."""

import pytest
import requests
from conftest import ADMIN_TOKEN

MODELS = {"alpha": {"t": "Hello", "k.x": "v"}, "Beta": {"t": "hello"}, "al_ha": {}, "größe 1": {"t": ""}}
# Model, tags, run, stage.
VERSIONS = [
    ("alpha", {"q": "1"}, "first", "Staging"),
    ("alpha", {"q": "2"}, "second", "Production"),
    ("alpha", {}, None, None),
    ("Beta", {"q": "1"}, "first", None),
    ("al_ha", {"q": "x y"}, None, "Archived"),
]
# Name, params, tags, metrics, status.
LOGGED = [
    ("one", {"p": "x"}, {"t": "a"}, {"acc": 0.9, "loss": 1}, "LOGGED_MODEL_READY"),
    ("two", {"p": "y", "lr": "0.1"}, {"t": "b"}, {"acc": 0.5}, "LOGGED_MODEL_UPLOAD_FAILED"),
    ("three", {}, {}, {"acc": "NaN", "loss": -2}, None),
    ("One", {"p": "X"}, {"t": "A"}, {}, "LOGGED_MODEL_READY"),
]


def pairs(of):
    return [{"key": key, "value": value} for key, value in of.items()]


class Side:
    """One of the two servers, with the same models."""

    def __init__(self, address, **headers):
        self.address, self.headers, self.runs = address, headers, {}
        self.experiment = self.ask("POST", "/experiments/create", name="compared models")["experiment_id"]
        for name in ["first", "second"]:
            made = self.ask("POST", "/runs/create", experiment_id=self.experiment, start_time=1)
            self.runs[name] = made["run"]["info"]["run_id"]
        for name, tags in MODELS.items():
            self.ask("POST", "/registered-models/create", name=name, tags=pairs(tags))
        for at, (name, tags, run, stage) in enumerate(VERSIONS):
            more = {"run_id": self.runs[run]} if run else {}
            made = self.ask("POST", "/model-versions/create", name=name, source=f"s3://bucket/{at}", tags=pairs(tags), **more)
            if stage:
                number = made["model_version"]["version"]
                self.ask("POST", "/model-versions/transition-stage", name=name, version=number, stage=stage, archive_existing_versions=False)
        for name, params, tags, metrics, status in LOGGED:
            fields = {"experiment_id": self.experiment, "name": name, "model_type": name[0], "params": pairs(params), "tags": pairs(tags)}
            model = self.ask("POST", "/logged-models", source_run_id=self.runs["first"], **fields)["model"]["info"]["model_id"]
            for key, value in metrics.items():
                metric = {"key": key, "value": value, "timestamp": 5, "step": 0, "model_id": model}
                self.ask("POST", "/runs/log-metric", run_id=self.runs["first"], **metric)
            if status:
                self.ask("PATCH", f"/logged-models/{model}", model_id=model, status=status)

    def send(self, method, path, **body):
        url = f"{self.address}/api/2.0/mlflow{path}"
        if method == "GET":
            return requests.get(url, params=body, headers=self.headers, timeout=60)
        return requests.request(method, url, json=body, headers=self.headers, timeout=60)

    def ask(self, method, path, **body):
        answer = self.send(method, path, **body)
        assert answer.ok, answer.text
        return answer.json()

    def filled(self, text):
        """A filter with the runs' ids in it."""
        for name, run_id in self.runs.items():
            text = text.replace(f"<{name}>", run_id)
        return text

    def models(self, text, orders):
        answer = self.send("GET", "/registered-models/search", filter=text, order_by=orders, max_results=100)
        return refusal(answer) or [one["name"] for one in answer.json().get("registered_models", [])]

    def versions(self, text, orders):
        answer = self.send("GET", "/model-versions/search", filter=self.filled(text), order_by=orders, max_results=100)
        return refusal(answer) or [f"{one['name']} {one['version']}" for one in answer.json().get("model_versions", [])]

    def logged(self, text, orders):
        body = {"experiment_ids": [self.experiment], "filter": self.filled(text), "order_by": orders, "max_results": 50}
        answer = self.send("POST", "/logged-models/search", **body)
        return refusal(answer) or [one["info"]["name"] for one in answer.json().get("models", [])]


def refusal(answer):
    return None if answer.ok else (answer.status_code, answer.json()["error_code"])


@pytest.mark.parametrize(
    ("text", "ours", "theirs"),
    [
        ("metrics.acc <= 0.5", ["two"], ["three", "two"]),
        ("foo = 'x'", (400, "INVALID_PARAMETER_VALUE"), (500, "INTERNAL_ERROR")),
        ("metrics.acc > 'x'", (400, "INVALID_PARAMETER_VALUE"), (500, "INTERNAL_ERROR")),
    ],
)
def test_where_logged_models_differ_on_purpose(sides, text, ours, theirs):
    """docs/mlflow.md says so."""
    assert [side.logged(text, [{"field_name": "name"}]) for side in sides] == [ours, theirs]


@pytest.fixture(scope="module")
def sides(control_plane, mlflow_server):
    """The control plane, and MLflow's own server."""
    return Side(control_plane, Authorization=f"Bearer {ADMIN_TOKEN}"), Side(mlflow_server)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name = 'alpha'",
        "name != 'alpha'",
        "name LIKE 'al%'",
        "name LIKE 'al_ha'",
        "name ILIKE 'BETA'",
        "name ILIKE 'b%'",
        "name LIKE '%größe%'",
        "tags.t = 'Hello'",
        "tags.t != 'Hello'",
        "tags.t LIKE 'h%'",
        "tags.t ILIKE 'H%'",
        "tags.t = ''",
        "tags.`k.x` = 'v'",
        "name LIKE 'al%' AND tags.t = 'Hello'",
        "name LIKE 'al%' and tags.nope = '1'",
        "name > 'a'",
        "foo = 'x'",
        "name = alpha",
        "name = 'alpha' OR name = 'Beta'",
        "name",
    ],
)
def test_the_same_registered_models_are_found(sides, text):
    ours, theirs = (side.models(text, []) for side in sides)
    assert ours == theirs


@pytest.mark.parametrize("orders", [["name"], ["name DESC"], ["name ASC"], ["foo"], ["name UP"]], ids=" and ".join)
def test_registered_models_are_in_the_same_order(sides, orders):
    ours, theirs = (side.models("", orders) for side in sides)
    assert ours == theirs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name = 'alpha'",
        "name != 'alpha'",
        "name LIKE 'al%'",
        "name ILIKE 'AL%'",
        "run_id = '<first>'",
        "run_id IN ('<first>', '<second>')",
        "run_id = '<first>' AND name = 'Beta'",
        "source_path = 's3://bucket/2'",
        "source_path LIKE 's3://%'",
        "version_number = 2",
        "version_number > 1",
        "version_number <= 1",
        "version_number != 1",
        "tags.q = '1'",
        "tags.q != '1'",
        "tags.q LIKE '% %'",
        "tags.q = '1' AND name = 'alpha'",
        "foo = 'x'",
        "run_id > 'a'",
        "name = 'alpha' OR name = 'Beta'",
    ],
)
def test_the_same_versions_are_found(sides, text):
    ours, theirs = (side.versions(text, ["name", "version_number"]) for side in sides)
    assert ours == theirs


@pytest.mark.parametrize(
    "orders", [["name", "version_number DESC"], ["version_number", "name"], ["name DESC", "version_number"], ["foo"]], ids=" and ".join
)
def test_versions_are_in_the_same_order(sides, orders):
    ours, theirs = (side.versions("", orders) for side in sides)
    assert ours == theirs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name = 'one'",
        "name != 'one'",
        "name LIKE 'o%'",
        "name ILIKE 'ONE'",
        "name IN ('one', 'two')",
        "attributes.name = 'two'",
        "params.p = 'x'",
        "params.p != 'x'",
        "params.p ILIKE 'X'",
        "params.lr LIKE '0%'",
        "tags.t = 'a'",
        "tags.t ILIKE 'A'",
        "metrics.acc > 0.6",
        "metrics.acc >= 0.9",
        "metrics.loss < 0",
        "metrics.acc > 0.4 AND params.p = 'y'",
        "metrics.nope > 0",
        "model_type = 'o'",
        "source_run_id = '<first>'",
        "creation_timestamp > 0",
        "name = 'one' OR name = 'two'",
    ],
)
def test_the_same_logged_models_are_found(sides, text):
    ours, theirs = (side.logged(text, [{"field_name": "name"}]) for side in sides)
    assert ours == theirs


@pytest.mark.parametrize(
    "orders",
    [
        [{"field_name": "name"}],
        [{"field_name": "name", "ascending": False}],
        [{"field_name": "metrics.acc", "ascending": False}, {"field_name": "name"}],
        [{"field_name": "metrics.loss"}, {"field_name": "name"}],
        [{"field_name": "creation_timestamp"}, {"field_name": "name"}],
        [{"field_name": "foo"}],
    ],
    ids=str,
)
def test_logged_models_are_in_the_same_order(sides, orders):
    ours, theirs = (side.logged("", orders) for side in sides)
    if orders[0]["field_name"] == "creation_timestamp":
        ours, theirs = sorted(ours), sorted(theirs)
    assert ours == theirs
