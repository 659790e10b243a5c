"""Where what runs on a robot comes from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from edgeflow._client import Client

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Dataset:
    """A dataset that went into a run.

    Attributes:
        name: Its name.
        digest: What tells its content from another's.
        trained_on: Whether the model was trained on it, rather than judged by it.
    """

    name: str
    digest: str
    trained_on: bool


@dataclass(frozen=True)
class Run:
    """A run that led to a model.

    Attributes:
        id: Its id in MLflow.
        name: Its name.
        params: Its parameters.
        metrics: The latest value of each metric.
        datasets: What went in.
    """

    id: str
    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    datasets: tuple[Dataset, ...]


@dataclass(frozen=True)
class Interval:
    """What a robot itself said it ran, and for how long.

    Attributes:
        slot: Where on the robot.
        model: Registry name.
        version: Registry version.
        digest: Of the bundle.
        since: When it first said so, by its clock.
        until: When it said something else; `None` while it runs.
        runs: Runs that led to it, the one that made it first; empty when nobody logged one.
    """

    slot: str
    model: str
    version: str
    digest: str
    since: datetime
    until: datetime | None
    runs: tuple[Run, ...]


def lineage(robot: str, *, at: datetime | None = None, client: Client | None = None) -> list[Interval]:
    """What a robot said it ran, the newest first, with the runs and datasets it comes from.

    Args:
        robot: Its name.
        at: Only what ran at this moment; a time without a zone is the local one.
        client: The control plane; see `Client`.

    Raises:
        EdgeflowError: There is no such robot, or the control plane refuses.
    """
    client = client or Client()
    query = {"limit": "1000"} if at is None else {"at_us": str((at.astimezone(timezone.utc) - EPOCH) // timedelta(microseconds=1))}
    found = client.get("targets", robot, "lineage", query=query)["intervals"]
    made: dict[str, tuple[Run, ...]] = {}
    for digest in {one["digest"] for one in found}:
        provenance = client.get("lineage", "provenance", query={"digest": digest})
        made[digest] = tuple(_run(one) for one in provenance["runs"])
    return [
        Interval(
            one["slot"],
            one["model"],
            one["version"],
            one["digest"],
            _time(one["from_us"]),
            None if one["to_us"] is None else _time(one["to_us"]),
            made[one["digest"]],
        )
        for one in found
    ]


def _time(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def _run(document: dict[str, Any]) -> Run:
    datasets = tuple(Dataset(one["name"], one["digest"], one["trained_on"]) for one in document["datasets"])
    metrics = {one["key"]: float(one["value"]) for one in document["metrics"]}
    return Run(document["run_id"], document["name"], document["params"], metrics, datasets)
