"""The stock MLflow client, through everything it can do with experiments, runs and logged models."""

import concurrent.futures
import math
import subprocess
import sys
import time

import mlflow
import pandas
import pytest
import requests
from conftest import ADMIN_TOKEN
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelParameter,
    LoggedModelStatus,
    LoggedModelTag,
    Metric,
    Param,
    RunStatus,
    RunTag,
    ViewType,
)
from mlflow.exceptions import MlflowException


@pytest.fixture
def experiment(signed_in, request):
    return signed_in.create_experiment(f"{request.node.name}/größe", tags={"team": "a"})


def test_experiments_go_through_their_life(signed_in, experiment):
    assert signed_in.get_experiment("0").name == "Default"
    made = signed_in.get_experiment(experiment)
    assert made.tags == {"team": "a"} and made.lifecycle_stage == "active"
    assert made.artifact_location == f"mlflow-artifacts:/{experiment}"
    assert signed_in.get_experiment_by_name(made.name).experiment_id == experiment
    assert signed_in.get_experiment_by_name("nobody's") is None
    with pytest.raises(MlflowException, match=made.name) as taken:
        signed_in.create_experiment(made.name)
    assert taken.value.error_code == "RESOURCE_ALREADY_EXISTS"
    signed_in.set_experiment_tag(experiment, "team", "b")
    signed_in.set_experiment_tag(experiment, "more", "c")
    signed_in.delete_experiment_tag(experiment, "more")
    signed_in.rename_experiment(experiment, f"{made.name}/renamed")
    found = signed_in.search_experiments(filter_string="tags.team = 'b' AND name LIKE '%renamed'", order_by=["name DESC"])
    assert [one.experiment_id for one in found] == [experiment]
    signed_in.delete_experiment(experiment)
    assert experiment in [one.experiment_id for one in signed_in.search_experiments(view_type=ViewType.DELETED_ONLY)]
    with pytest.raises(MlflowException) as deleted:
        signed_in.create_run(experiment)
    assert deleted.value.error_code == "INVALID_PARAMETER_VALUE"
    signed_in.restore_experiment(experiment)
    assert signed_in.get_experiment(experiment).lifecycle_stage == "active"


def test_lists_are_read_to_their_end_page_by_page(signed_in, experiment):
    for at in range(1, 8):
        signed_in.create_run(experiment, start_time=at)
    seen, token = [], None
    while True:
        page = signed_in.search_runs([experiment], max_results=3, order_by=["start_time"], page_token=token)
        seen += [run.info.start_time for run in page]
        token = page.token
        if not token:
            break
    assert seen == list(range(1, 8))
    experiments, token = set(), None
    while True:
        page = signed_in.search_experiments(max_results=2, page_token=token)
        experiments |= {one.experiment_id for one in page}
        token = page.token
        if not token:
            break
    assert {"0", experiment} <= experiments


def test_a_run_is_begun_logged_to_and_ended(signed_in, experiment):
    run = signed_in.create_run(experiment, start_time=123, run_name="first", tags={"kind": "test"})
    run_id = run.info.run_id
    assert run.info.artifact_uri == f"mlflow-artifacts:/{experiment}/{run_id}/artifacts"
    for value, step in [(1.5, 1), (0.5, 2), (2.5, 0)]:
        signed_in.log_metric(run_id, "loss", value, timestamp=10, step=step)
    for key, value in [("nan", math.nan), ("inf", math.inf), ("ninf", -math.inf)]:
        signed_in.log_metric(run_id, key, value)
    signed_in.log_param(run_id, "lr", 0.1)
    signed_in.log_param(run_id, "lr", 0.1)
    with pytest.raises(MlflowException) as changed:
        signed_in.log_param(run_id, "lr", 0.2)
    assert changed.value.error_code == "INVALID_PARAMETER_VALUE"
    signed_in.set_tag(run_id, "note", "x")
    signed_in.set_tag(run_id, "gone", "x")
    signed_in.delete_tag(run_id, "gone")
    signed_in.update_run(run_id, status="FINISHED", name="second")
    signed_in.set_terminated(run_id, "FAILED", end_time=456)
    read = signed_in.get_run(run_id)
    assert read.data.metrics["loss"] == 0.5 and math.isnan(read.data.metrics["nan"])
    assert (read.data.metrics["inf"], read.data.metrics["ninf"]) == (math.inf, -math.inf)
    assert read.data.params == {"lr": "0.1"}
    assert read.data.tags == {"kind": "test", "note": "x", "mlflow.runName": "second"}
    assert (read.info.status, read.info.end_time, read.info.run_name) == ("FAILED", 456, "second")
    history = signed_in.get_metric_history(run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(0, 2.5), (1, 1.5), (2, 0.5)]
    signed_in.delete_run(run_id)
    assert signed_in.get_run(run_id).info.lifecycle_stage == "deleted"
    assert [one.info.run_id for one in signed_in.search_runs([experiment], run_view_type=ViewType.DELETED_ONLY)] == [run_id]
    with pytest.raises(MlflowException):
        signed_in.log_metric(run_id, "loss", 1)
    signed_in.restore_run(run_id)
    assert RunStatus.is_terminated(RunStatus.from_string(signed_in.get_run(run_id).info.status))


def test_batches_and_their_limits(signed_in, experiment):
    run_id = signed_in.create_run(experiment).info.run_id
    metrics = [Metric("m", at, 1000 + at, at) for at in range(1000)]
    params = [Param(f"p{at}", str(at)) for at in range(100)]
    tags = [RunTag(f"t{at}", str(at)) for at in range(100)]
    for _ in range(2):
        # The client cuts it into requests of no more than the limits.
        signed_in.log_batch(run_id, metrics, params, tags)
    read = signed_in.get_run(run_id)
    assert len(read.data.params) == 100 and len(read.data.tags) == 101 and read.data.metrics == {"m": 999}
    assert len(signed_in.get_metric_history(run_id, "m")) == 1000, "a retry adds nothing"
    mlflow_batch = {"run_id": run_id, "metrics": [{"key": "m", "value": 1, "timestamp": 1}] * 1001}
    url = f"{mlflow.get_tracking_uri()}/api/2.0/mlflow/runs/log-batch"
    refused = requests.post(url, json=mlflow_batch, auth=("anyone", ADMIN_TOKEN), timeout=10)
    assert (refused.status_code, refused.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_what_went_in_and_came_out(signed_in, experiment):
    run_id = signed_in.create_run(experiment).info.run_id
    model = signed_in.create_logged_model(experiment, name="reader", source_run_id=run_id)
    dataset = Dataset("digits", "abc123", "local", '{"uri": "x"}', schema='{"a": 1}', profile='{"rows": 3}')
    inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])]
    for _ in range(2):
        signed_in.log_inputs(run_id, inputs, [LoggedModelInput(model.model_id)])
        signed_in.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=4)])
    read = signed_in.get_run(run_id)
    [logged] = read.inputs.dataset_inputs
    assert logged.dataset.to_dictionary() == dataset.to_dictionary() and logged.tags[0].value == "train"
    assert [one.model_id for one in read.inputs.model_inputs] == [model.model_id]
    assert [(one.model_id, one.step) for one in read.outputs.model_outputs] == [(model.model_id, 4)]
    for text in ["datasets.name = 'digits'", "datasets.digest = 'abc123' AND datasets.context = 'train'"]:
        assert [one.info.run_id for one in signed_in.search_runs([experiment], text)] == [run_id]


def test_a_data_frame_is_a_dataset_of_the_run(signed_in, experiment):
    frame = pandas.DataFrame({"x": [1, 2, 3], "y": [0.1, 0.2, 0.3]})
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_input(mlflow.data.from_pandas(frame, name="frame", targets="y"), context="training")
    [logged] = signed_in.get_run(run.info.run_id).inputs.dataset_inputs
    assert logged.dataset.name == "frame" and "num_rows" in logged.dataset.profile and "mlflow_colspec" in logged.dataset.schema


def test_logged_models_go_through_their_life(signed_in, experiment):
    run_id = signed_in.create_run(experiment).info.run_id
    models = []
    for name, accuracy in [("a", 0.9), ("b", 0.7), ("c", None)]:
        model = signed_in.create_logged_model(
            experiment, name=name, source_run_id=run_id, tags={"k": name}, params={"p": name}, model_type="test"
        )
        models.append(model.model_id)
        if accuracy is not None:
            signed_in.log_metric(run_id, "acc", accuracy, model_id=model.model_id, dataset_name="d", dataset_digest="x")
    first = signed_in.finalize_logged_model(models[0], LoggedModelStatus.READY)
    assert first.status == LoggedModelStatus.READY and first.params == {"p": "a"} and first.tags == {"k": "a"}
    signed_in.log_model_params(models[0], {"q": "1"})
    signed_in.set_logged_model_tags(models[0], {"k": "z", "l": "1"})
    signed_in.delete_logged_model_tag(models[0], "l")
    read = signed_in.get_logged_model(models[0])
    assert read.params == {"p": "a", "q": "1"} and read.tags == {"k": "z"}
    [measured] = read.metrics
    assert (measured.value, measured.dataset_name, measured.run_id) == (0.9, "d", run_id)

    def names(**search):
        return [one.name for one in signed_in.search_logged_models([experiment], **search)]

    assert names() == ["c", "b", "a"]
    assert names(filter_string="metrics.acc > 0.8") == ["a"]
    assert names(filter_string="metrics.acc > 0.5", datasets=[{"dataset_name": "d", "dataset_digest": "x"}]) == ["b", "a"]
    assert names(filter_string="metrics.acc > 0.5", datasets=[{"dataset_name": "e"}]) == []
    assert names(filter_string="name IN ('a', 'b') AND params.p != 'b'") == ["a"]
    assert names(order_by=[{"field_name": "metrics.acc", "ascending": True}]) == ["b", "a", "c"]
    page = signed_in.search_logged_models([experiment], max_results=2)
    assert [one.name for one in signed_in.search_logged_models([experiment], max_results=2, page_token=page.token)] == ["a"]
    signed_in.delete_logged_model(models[0])
    with pytest.raises(MlflowException) as gone:
        signed_in.get_logged_model(models[0])
    assert gone.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_what_is_logged_in_the_background_arrives(signed_in, experiment):
    with mlflow.start_run(experiment_id=experiment) as run:
        pending = [mlflow.log_metric("m", at, step=at, synchronous=False) for at in range(300)]
        pending.append(mlflow.log_params({"a": 1, "b": 2}, synchronous=False))
        pending.append(mlflow.set_tag("t", "1", synchronous=False))
        for one in pending:
            one.wait()
    mlflow.flush_async_logging()
    read = signed_in.get_run(run.info.run_id)
    assert len(signed_in.get_metric_history(run.info.run_id, "m")) == 300
    assert read.data.params == {"a": "1", "b": "2"} and read.data.tags["t"] == "1" and read.info.status == "FINISHED"


def test_parallel_clients_lose_nothing(signed_in, experiment):
    def train(at):
        run_id = signed_in.create_run(experiment, run_name=f"run {at}").info.run_id
        for step in range(40):
            signed_in.log_metric(run_id, "m", at + step / 100, step=step)
        signed_in.log_batch(run_id, [Metric("n", step, step, step) for step in range(200)], [Param("at", str(at))])
        signed_in.set_terminated(run_id)
        return run_id

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(train, range(16)))
    assert len(set(runs)) == 16
    for run in signed_in.search_runs([experiment], order_by=["metrics.m DESC"]):
        # To the last bit of it.
        assert run.data.metrics["m"] == int(run.data.params["at"]) + 39 / 100 and run.data.metrics["n"] == 199
        assert len(signed_in.get_metric_history(run.info.run_id, "m")) == 40
    assert [run.info.run_name for run in signed_in.search_runs([experiment], "metrics.m > 14")] != []


def test_nested_runs_and_the_fluent_search(signed_in, experiment):
    mlflow.set_experiment(experiment_id=experiment)
    with mlflow.start_run(run_name="parent") as parent:
        for at in range(3):
            with mlflow.start_run(run_name=f"child {at}", nested=True):
                mlflow.log_metrics({"score": at, "other": -at}, step=1)
                mlflow.log_params({"at": at})
    found = mlflow.search_runs([experiment], f"tags.mlflow.parentRunId = '{parent.info.run_id}'", order_by=["metrics.score DESC"])
    assert list(found["params.at"]) == ["2", "1", "0"] and set(found["status"]) == {"FINISHED"}


def test_autolog_with_scikit_learn(signed_in, experiment):
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    mlflow.set_experiment(experiment_id=experiment)
    mlflow.autolog(log_models=False, silent=True)
    try:
        features, labels = load_iris(return_X_y=True, as_frame=True)
        with mlflow.start_run() as run:
            LogisticRegression(max_iter=300).fit(features, labels)
    finally:
        mlflow.autolog(disable=True, silent=True)
    read = signed_in.get_run(run.info.run_id)
    assert read.data.params["max_iter"] == "300" and read.data.metrics["training_accuracy_score"] > 0.9
    assert read.data.tags["estimator_name"] == "LogisticRegression"
    assert [one.dataset.source_type for one in read.inputs.dataset_inputs] == ["code"]


def test_a_name_and_the_token_as_password_sign_in(signed_in, experiment, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_TOKEN")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ADMIN_TOKEN)
    assert signed_in.get_experiment(experiment).experiment_id == experiment
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(MlflowException, match="no valid token"):
        signed_in.get_experiment(experiment)


def test_the_command_line_of_mlflow(signed_in, experiment, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.get_tracking_uri())
    run_id = signed_in.create_run(experiment, start_time=int(time.time() * 1000)).info.run_id
    listed = subprocess.run(
        [sys.executable, "-m", "mlflow", "runs", "list", "--experiment-id", experiment], capture_output=True, text=True, timeout=120
    )
    assert listed.returncode == 0 and run_id in listed.stdout, listed.stderr


def test_the_server_says_what_it_is(control_plane):
    assert requests.get(f"{control_plane}/health", timeout=10).text == "OK"
    assert requests.get(f"{control_plane}/version", timeout=10).text.split(".")[0] == "3"
    assert requests.get(f"{control_plane}/api/3.0/mlflow/server-info", timeout=10).json()["workspaces_enabled"] is False


def test_parameters_of_logged_models_are_entities(signed_in, experiment):
    model = signed_in.create_logged_model(experiment, params={"a": "1"}, tags={"b": "2"})
    assert signed_in.get_logged_model(model.model_id).to_dictionary()["params"] == {LoggedModelParameter("a", "1").key: "1"}
    assert LoggedModelTag("b", "2").key in model.tags
