"""Bringing a version to robots."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgeflow._client import Client
from edgeflow._error import EdgeflowError
from edgeflow._push import ModelVersion

POLL_S = 0.5


@dataclass(frozen=True)
class RobotProgress:
    """How one robot stands with a deployment.

    Attributes:
        robot: Its name.
        status: `pending`, `downloading`, `verifying`, `warming`, `active`, `failed` or `rolled_back`.
        reason: Why, when it failed.
    """

    robot: str
    status: str
    reason: str


@dataclass(frozen=True)
class Deployment:
    """A deployment as it stands.

    Attributes:
        id: Its identity.
        model: Which model.
        version: Which version of it.
        state: `progressing`, `succeeded`, `failed` or `superseded`.
        robots: Per robot.
    """

    id: str
    model: str
    version: str
    state: str
    robots: tuple[RobotProgress, ...]


def deploy(
    model: str | ModelVersion,
    version: str | int | None = None,
    *,
    to: str | Sequence[str],
    slot: str = "default",
    wait: bool = True,
    timeout_s: float = 600.0,
    progress: Callable[[Deployment], None] | bool = True,
    client: Client | None = None,
) -> Deployment:
    """Asks for a version on robots, and waits until they attest that it serves.

    Args:
        model: The model, or what `push` returned.
        version: Its number, or `@` and an alias.
        to: One robot or several.
        slot: The slot on each robot.
        wait: Whether to wait until all have it or one has failed.
        timeout_s: How long to wait, seconds. The deployment itself goes on: a robot that is offline takes it up when it is back.
        progress: Called with every change; `True` prints each robot's steps to standard error.
        client: The control plane; see `Client`.

    Returns:
        How it stands: when waited for, `succeeded`.

    Raises:
        EdgeflowError: It was refused, a robot failed, or the time is over.
    """
    client = client or Client()
    if isinstance(model, ModelVersion):
        version = model.version if version is None else version
        model = model.model
    if version is None:
        raise EdgeflowError("which version: give its number, or @ and an alias")
    targets = [to] if isinstance(to, str) else list(to)
    body = {"model": model, "version": str(version), "targets": targets, "slot": slot}
    tell = _print_changes() if progress is True else progress or (lambda _: None)
    deployment = _read(client.post("deployments", body=body))
    tell(deployment)
    deadline = time.monotonic() + timeout_s
    while wait and deployment.state == "progressing":
        if time.monotonic() > deadline:
            behind = ", ".join(f"{one.robot} is {one.status}" for one in deployment.robots if one.status != "active")
            raise EdgeflowError(f"deployment {deployment.id} was not done within {timeout_s:g} s: {behind}; it goes on")
        time.sleep(POLL_S)
        newer = _read(client.get("deployments", deployment.id))
        if newer != deployment:
            tell(newer)
        deployment = newer
    if wait and deployment.state != "succeeded":
        why = "; ".join(f"{one.robot} {one.status}: {one.reason}" for one in deployment.robots if one.reason)
        raise EdgeflowError(f"deployment {deployment.id} is {deployment.state}{': ' if why else ''}{why}")
    return deployment


def _read(document: dict[str, Any]) -> Deployment:
    robots = tuple(RobotProgress(one["target"], one["status"], one.get("reason") or "") for one in document["targets"])
    return Deployment(str(document["id"]), document["model"], document["version"], document["state"], robots)


def _print_changes() -> Callable[[Deployment], None]:
    shown: dict[str, RobotProgress] = {}

    def tell(deployment: Deployment) -> None:
        for one in deployment.robots:
            if shown.get(one.robot) != one:
                print(f"{one.robot} {one.status}{': ' if one.reason else ''}{one.reason}", file=sys.stderr, flush=True)
            shown[one.robot] = one

    return tell
