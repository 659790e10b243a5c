"""mlflow-skinny, in an environment without the rest of MLflow: what it logs, finds and registers."""

import os
import subprocess
import sys

import mlflow
import pytest
from conftest import ADMIN_TOKEN

SCRIPT = """
import importlib.util, os, mlflow
assert importlib.util.find_spec("sqlalchemy") is None, "this is not the client alone"
mlflow.set_experiment(f"skinny {os.getpid()}")
with mlflow.start_run(run_name="one") as run:
    mlflow.log_params({"lr": 0.1, "depth": 3})
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.set_tag("who", "skinny")
    mlflow.log_text("hello", "notes/hello.txt")
    mlflow.log_dict({"a": [1, 2]}, "notes/a.json")
client, id = mlflow.MlflowClient(), run.info.run_id
data = client.get_run(id).data
assert data.params == {"lr": "0.1", "depth": "3"} and data.metrics == {"loss": 0.2} and data.tags["who"] == "skinny", data
assert [metric.value for metric in client.get_metric_history(id, "loss")] == [1 / (n + 1) for n in range(5)]
assert sorted(file.path for file in client.list_artifacts(id, "notes")) == ["notes/a.json", "notes/hello.txt"]
assert mlflow.artifacts.load_text(run.info.artifact_uri + "/notes/hello.txt") == "hello"
assert mlflow.artifacts.load_dict(run.info.artifact_uri + "/notes/a.json") == {"a": [1, 2]}
query = "params.lr = '0.1' and metrics.loss < 0.5 and tags.who ILIKE 'SKIN%'"
assert [found.info.run_id for found in client.search_runs([run.info.experiment_id], query)] == [id]
client.create_registered_model("skinny model", tags={"k": "v"})
assert [model.name for model in client.search_registered_models("name LIKE 'skinny%'")] == ["skinny model"]
client.delete_registered_model("skinny model")
client.delete_experiment(run.info.experiment_id)
assert client.get_run(id).info.lifecycle_stage == "deleted"
print("all of it")
"""


@pytest.fixture(scope="module")
def skinny(tmp_path_factory):
    """The interpreter of an environment with the client alone, of the same release."""
    home = tmp_path_factory.mktemp("skinny")
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    python = home / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"mlflow-skinny=={mlflow.__version__}"]
    subprocess.run(pip, check=True)
    return python


@pytest.mark.parametrize("login", [{"MLFLOW_TRACKING_TOKEN": ADMIN_TOKEN}, {"MLFLOW_TRACKING_USERNAME": "ada", "MLFLOW_TRACKING_PASSWORD": ADMIN_TOKEN}])
def test_the_client_alone(skinny, control_plane, login):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PYTHONPATH"))}
    environment |= {"MLFLOW_TRACKING_URI": control_plane, **login}
    ran = subprocess.run([skinny, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0 and ran.stdout.endswith("all of it\n"), ran.stderr + ran.stdout
