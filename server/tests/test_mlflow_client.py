"""The stock MLflow client against a real control plane: its token gets it in, and what is not there is said clearly."""

import pytest
import requests
from conftest import ADMIN_TOKEN
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


def test_the_token_of_the_mlflow_client_is_the_bearer_token(control_plane, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "not-the-token")
    with pytest.raises(MlflowException) as refused:
        MlflowClient(control_plane).search_experiments()
    assert "401" in str(refused.value) or "token" in str(refused.value)


def test_routes_that_are_not_served_answer_in_mlflows_own_shape(control_plane):
    answer = requests.post(f"{control_plane}/api/3.0/mlflow/traces/search", json={}, auth=("anyone", ADMIN_TOKEN), timeout=10)
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert "tracing" in answer.json()["message"], "the message says what is missing"
