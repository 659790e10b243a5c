"""Edgeflow beside MLflow: what MLflow has no word for.

Training scripts log with MLflow's own client. This package adds the drift reference of a model (`log_baseline`), pushing without MLflow
(`push`), bringing a version to robots (`deploy`) and asking where what runs on a robot comes from (`lineage`).

Statistics are not computed here: the program `edgeflow` does it, as it does on the command line and as robots do.
"""

from edgeflow._baseline import baseline, log_baseline
from edgeflow._client import Client
from edgeflow._deploy import Deployment, RobotProgress, deploy
from edgeflow._error import EdgeflowError
from edgeflow._lineage import Dataset, Interval, Run, lineage
from edgeflow._push import ModelVersion, push

__all__ = [
    "Client",
    "Dataset",
    "Deployment",
    "EdgeflowError",
    "Interval",
    "ModelVersion",
    "RobotProgress",
    "Run",
    "baseline",
    "deploy",
    "lineage",
    "log_baseline",
    "push",
]
