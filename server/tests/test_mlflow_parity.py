"""Searches and refusals, held against MLflow's own server on the same data."""

import json

import pytest
import requests
from conftest import ADMIN_TOKEN


class Side:
    """One of the two servers, with runs A to F in an experiment of its own."""

    def __init__(self, address, **headers):
        self.address, self.headers, self.names = address, headers, {}
        self.experiment = self.post("/experiments/create", name="parity").json()["experiment_id"]
        for name, start, metrics, params, tags, status, datasets in RUNS:
            self.run(name, start, metrics, params, tags, status, datasets)
        self.other = self.post("/experiments/create", name="parity/b", tags=pairs({"x": "1"})).json()["experiment_id"]
        self.post("/experiments/create", name="parity/A", tags=pairs({"x": "2"}))

    def post(self, path, **body):
        return requests.post(f"{self.address}/api/2.0/mlflow{path}", json=body, headers=self.headers, timeout=60)

    def get(self, path, **query):
        return requests.get(f"{self.address}/api/2.0/mlflow{path}", params=query, headers=self.headers, timeout=60)

    def run(self, name, start, metrics, params, tags, status, datasets):
        made = self.post("/runs/create", experiment_id=self.experiment, start_time=start, run_name=name, user_id="u", tags=pairs(tags))
        run_id = made.json()["run"]["info"]["run_id"]
        self.names[run_id] = name
        logged = [{"key": key, "value": value, "timestamp": 5, "step": step} for key, value, step in metrics]
        assert self.post("/runs/log-batch", run_id=run_id, metrics=logged, params=pairs(params)).ok
        if status:
            assert self.post("/runs/update", run_id=run_id, status=status, end_time=start + 10).ok
        inputs = [
            {
                "dataset": {"name": dataset, "digest": digest, "source_type": "s", "source": "x"},
                "tags": pairs({"mlflow.data.context": context}),
            }
            for dataset, digest, context in datasets
        ]
        assert self.post("/runs/log-inputs", run_id=run_id, datasets=inputs).ok

    def runs(self, **search):
        answer = self.post("/runs/search", experiment_ids=[self.experiment], **search)
        if not answer.ok:
            return answer.status_code, answer.json()["error_code"]
        return "".join(self.names[run["info"]["run_id"]] for run in answer.json().get("runs", []))

    def experiments(self, **search):
        answer = self.post("/experiments/search", max_results=100, **search)
        if not answer.ok:
            return answer.status_code, answer.json()["error_code"]
        return [one["name"] for one in answer.json().get("experiments", [])]


def pairs(of):
    return [{"key": key, "value": value} for key, value in of.items()]


RUNS = [
    ("A", 100, [("m", 1, 0), ("a b", 2, 0)], {"p": "x", "lr": "0.1"}, {"t": "Hello", "k.x": "v"}, "FINISHED", [("d1", "aa", "train")]),
    ("B", 200, [("m", 9, 0), ("m", 2, 1), ("n", "NaN", 0)], {"p": "y", "lr": "0.01"}, {"t": "hello"}, "FAILED", [("d2", "bb", "eval"), ("d1", "aa", "train")]),
    ("C", 300, [("m", "NaN", 0)], {"p": "X"}, {}, None, []),
    ("D", 310, [("m", "Infinity", 0)], {"p": "z%"}, {"t": "it's"}, "KILLED", []),
    ("E", 400, [("m", "-Infinity", 0), ("n", 1, 0)], {}, {"t": ""}, "SCHEDULED", []),
    ("F", 50, [], {"lr": "10"}, {"t": "é"}, "FINISHED", [("d1", "cc", "train")]),
]

FILTERS = [
    "",
    "metrics.m > 1",
    "metrics.m >= 1",
    "metrics.m != 1",
    "metrics.m = 1",
    "metrics.m < 2",
    "metrics.m <= 0",
    "metrics.m > 1e307",
    "metrics.m > -1",
    "metrics.m>.5",
    "metric.m = 2.0",
    "metrics.`a b` = 2",
    'metrics."a b" = 2',
    "metrics.n = 0",
    "metrics.n != 5",
    "metrics.nothing > 0",
    "params.p = 'x'",
    'param.lr = "0.1"',
    "parameters.lr LIKE '0%'",
    "params.p != 'x'",
    "params.p LIKE 'x'",
    "params.p ILIKE 'x'",
    "params.p LIKE 'z%'",
    "params.p LIKE '_'",
    "params.p LIKE 'z\\%'",
    "params.p LIKE '*'",
    "params.p LIKE '[xy]'",
    "params.p IS NULL",
    "params.p IS NOT NULL",
    "params.P = 'x'",
    "tags.t = 'Hello'",
    "tags.t ILIKE 'HELLO'",
    "tags.t LIKE 'H%'",
    "tags.t = \"it's\"",
    "tags.t != 'Hello'",
    "tag.k.x = 'v'",
    "tags.`k.x` = 'v'",
    "tags.t = ''",
    "tags.t = 'é'",
    "tags.t ILIKE 'É'",
    "tags.t IS NULL",
    "tags.t IS NOT NULL",
    "tags.nope IS NULL",
    "tags.mlflow.runName = 'A'",
    "tags.`mlflow.runName` != 'A'",
    "status = 'FINISHED'",
    "status != 'FINISHED'",
    "status = 'finished'",
    "attribute.status LIKE 'F%'",
    "attributes.status ILIKE 'finished'",
    "attr.status = 'FAILED'",
    "run.status = 'FAILED'",
    "attributes.start_time > 150",
    "start_time <= 300",
    "start_time > 100.5",
    "start_time = 100.0",
    "end_time > 0",
    "created > 100",
    "run_name = 'A'",
    "attributes.run_name ILIKE 'a'",
    "attributes.`run name` = 'A'",
    'attributes."Run name" = \'A\'',
    "user_id = 'u'",
    "attributes.artifact_uri LIKE 'mlflow%'",
    "run_id IN ('a', 'b')",
    "run_id NOT IN ('a')",
    "datasets.name = 'd1'",
    "dataset.name = 'd1'",
    "datasets.digest = 'aa'",
    "datasets.context = 'train'",
    "datasets.name = 'd2' AND datasets.context = 'train'",
    "datasets.name LIKE 'd%'",
    "datasets.name ILIKE 'D2'",
    "datasets.name IN ('d2', 'd3')",
    "datasets.digest NOT IN ('aa')",
    "datasets.name != 'd1'",
    "datasets.context != 'train'",
    "metrics.m > 0 AND params.p = 'x'",
    "metrics.m > 0 and params.p = 'x' and tags.t = 'Hello'",
    "params.p != 'x' AND params.p != 'y'",
    "tags.t LIKE 'hello' AND tags.t = 'hello'",
    # Refused by both, with the same code.
    "metrics.m > 0 OR params.p = 'x'",
    "NOT metrics.m > 0",
    "metrics.m > '1'",
    "metrics.m IN (1, 2)",
    "metrics.m IS NULL",
    "metrics.m BETWEEN 1 AND 2",
    "metrics.m",
    "m > 1",
    "params.lr > '0'",
    "params.p = 1",
    "params.p = x",
    "params.p = 'x",
    "params.p REGEXP 'x'",
    "'x' = params.p",
    "start_time > '150'",
    "foo = 'x'",
    "attributes.foo = 'x'",
    "datasets.foo = 'x'",
    "Metrics.m > 1",
    "lifecycle_stage = 'active'",
]

ORDERS = [
    [],
    ["metrics.m"],
    ["metrics.m DESC"],
    ["metric.m desc"],
    ["metrics.n"],
    ["metrics.n DESC"],
    ["metrics.`a b` DESC"],
    ['"metrics.m" DESC'],
    ["params.p"],
    ["params.p DESC"],
    ["params.lr"],
    ["params.nope"],
    ["tags.t"],
    ["tags.t DESC"],
    ["tags.`mlflow.runName`"],
    ["start_time"],
    ["attributes.start_time DESC"],
    ["attributes.`Created` DESC"],
    ["end_time"],
    ["end_time DESC"],
    ["run_name DESC"],
    ["status"],
    ["status DESC", "run_name DESC"],
    ["user_id"],
    ["metrics.m", "params.p DESC"],
    # Refused by both.
    ["datasets.name"],
    ["foo"],
    ["duration"],
    ["metrics.m UP"],
    ["start_time, run_name"],
    [""],
]

EXPERIMENTS = [
    {"filter": "name LIKE 'parity%'"},
    {"filter": "name ILIKE 'PARITY/a'"},
    {"filter": "name = 'parity'"},
    {"filter": "name LIKE 'parity%' AND name != 'parity'"},
    {"filter": "tags.x = '1'"},
    {"filter": "tags.x != '1'"},
    {"filter": "tag.x LIKE '_'"},
    {"filter": "name LIKE 'parity%' AND tags.x IS NULL"},
    {"filter": "creation_time > 0 AND name LIKE 'parity/%'"},
    {"filter": "name LIKE 'parity%'", "order_by": ["name"]},
    {"filter": "name LIKE 'parity%'", "order_by": ["name DESC"]},
    {"filter": "name LIKE 'parity%'", "order_by": ["creation_time"]},
    {"filter": "name LIKE 'parity%'", "order_by": ["experiment_id DESC"]},
    {"filter": "name > 'a'"},
    {"filter": "foo = 'x'"},
    {"filter": "creation_time > '1'"},
    {"order_by": ["foo"]},
    {"view_type": "DELETED_ONLY"},
]

METRIC = {"key": "m", "value": 1, "timestamp": 1}
REFUSALS = [
    ("/experiments/create", {}),
    ("/experiments/create", {"name": ""}),
    ("/experiments/create", {"name": "parity"}),
    ("/experiments/create", {"name": "x" * 501}),
    ("/experiments/delete", {"experiment_id": "12345"}),
    ("/experiments/restore", {"experiment_id": "0"}),
    ("/experiments/set-experiment-tag", {"experiment_id": "0", "key": "../a", "value": "1"}),
    ("/experiments/delete-experiment-tag", {"experiment_id": "0", "key": "no"}),
    ("/experiments/search", {"max_results": 0}),
    ("/experiments/search", {"max_results": 50001}),
    ("/experiments/search", {"max_results": 1, "page_token": "zzz"}),
    ("/runs/create", {"experiment_id": "12345"}),
    ("/runs/create", {"experiment_id": "0", "run_name": "a", "tags": pairs({"mlflow.runName": "b"})}),
    ("/runs/update", {"run_id": "no", "status": "FINISHED"}),
    ("/runs/delete", {"run_id": "no"}),
    ("/runs/search", {"experiment_ids": ["0"], "max_results": 50001}),
    ("/runs/search", {"experiment_ids": ["0"], "page_token": "zzz"}),
    ("/runs/log-metric", {"run_id": "no", **METRIC}),
    ("/runs/log-metric", {"run_id": "{run}", "key": "m"}),
    ("/runs/log-metric", {"run_id": "{run}", "value": 1, "timestamp": 1}),
    ("/runs/log-metric", {"run_id": "{run}", **METRIC, "value": "abc"}),
    ("/runs/log-metric", {"run_id": "{run}", **METRIC, "timestamp": -1}),
    *[("/runs/log-metric", {"run_id": "{run}", **METRIC, "key": key}) for key in ["a" * 251, "../x", "a+b", "a//b", "/a", "a/", ".", "a\\b", "a\nb"]],
    ("/runs/log-parameter", {"run_id": "{run}", "key": "p", "value": "another"}),
    ("/runs/log-parameter", {"run_id": "{run}", "key": "k" * 251, "value": "1"}),
    ("/runs/delete-tag", {"run_id": "{run}", "key": "no"}),
    ("/runs/log-batch", {"run_id": "{run}", "metrics": [METRIC] * 1001}),
    ("/runs/log-batch", {"run_id": "{run}", "params": pairs({f"b{at}": "1" for at in range(101)})}),
    ("/runs/log-batch", {"run_id": "{run}", "tags": pairs({f"b{at}": "1" for at in range(101)})}),
    ("/runs/log-batch", {"run_id": "{run}", "metrics": [METRIC] * 1000, "params": pairs({"q": "1"})}),
    ("/runs/log-batch", {"run_id": "{run}", "params": pairs({"c": "1"}) * 2}),
    ("/runs/log-batch", {"run_id": "{run}", "params": pairs({"p": "another"}), "metrics": [METRIC]}),
    ("/runs/log-batch", {"run_id": "{run}", "metrics": [{"key": "m"}]}),
    ("/runs/log-batch", {"run_id": "{run}", "metrics": {"key": "m"}}),
    ("/runs/log-batch", {}),
    ("/logged-models", {"experiment_id": "12345", "name": "x"}),
    ("/logged-models", {"experiment_id": "0", "name": "a/b"}),
    ("/runs/log-model", {"run_id": "{run}", "model_json": "x"}),
]


@pytest.fixture(scope="module")
def sides(control_plane, mlflow_server):
    """The control plane, and MLflow's own server."""
    return Side(control_plane, Authorization=f"Bearer {ADMIN_TOKEN}"), Side(mlflow_server)


@pytest.mark.parametrize("text", FILTERS)
def test_a_filter_finds_the_same_runs(sides, text):
    ours, theirs = (side.runs(filter=text) for side in sides)
    assert ours == theirs


@pytest.mark.parametrize("orders", ORDERS, ids=" and ".join)
def test_an_order_sorts_the_same_way(sides, orders):
    ours, theirs = (side.runs(order_by=orders) for side in sides)
    assert ours == theirs


@pytest.mark.parametrize("search", EXPERIMENTS, ids=str)
def test_the_same_experiments_are_found(sides, search):
    ours, theirs = (side.experiments(**search) for side in sides)
    assert ours == theirs


@pytest.mark.parametrize(("path", "body"), REFUSALS, ids=lambda value: str(value)[:80])
def test_the_same_requests_are_refused(sides, path, body):
    answers = []
    for side in sides:
        run_id = next(run_id for run_id, name in side.names.items() if name == "A")
        answer = side.post(path, **{key: run_id if value == "{run}" else value for key, value in body.items()})
        answers.append((answer.status_code, answer.json()["error_code"]))
    assert answers[0] == answers[1]
    assert answers[0][0] >= 400


def test_histories_are_in_the_same_order(sides):
    logged = [(1.5, 10, 1), (2.5, 9, 1), (0.5, 10, 1), (0.25, 11, -1), ("NaN", 10, 1), (0.5, 10, 1)]
    histories, latest = [], []
    for side in sides:
        run_id = next(run_id for run_id, name in side.names.items() if name == "F")
        for value, timestamp, step in logged:
            assert side.post("/runs/log-metric", run_id=run_id, key="h", value=value, timestamp=timestamp, step=step).ok
        histories.append(side.get("/metrics/get-history", run_id=run_id, metric_key="h").json()["metrics"])
        metrics = side.get("/runs/get", run_id=run_id).json()["run"]["data"]["metrics"]
        latest.append([metric for metric in metrics if metric["key"] == "h"])
    assert histories[0] == histories[1]
    assert latest[0] == latest[1]


def test_a_run_has_the_same_shape(sides):
    """Every field of MLflow's answer is there, with the same value where it is not an id."""

    def compared(value, names):
        if isinstance(value, dict):
            return {key: compared(one, names) for key, one in value.items()}
        if isinstance(value, list):
            return sorted((compared(one, names) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
        return names.get(value, value)

    shapes = []
    for side in sides:
        run_id = next(run_id for run_id, name in side.names.items() if name == "B")
        uri = f"mlflow-artifacts:/{side.experiment}/{run_id}/artifacts"
        run = side.get("/runs/get", run_id=run_id).json()["run"]
        shapes.append(compared(run, {run_id: "id", uri: "uri", side.experiment: "experiment"}))
    assert shapes[0] == shapes[1]
