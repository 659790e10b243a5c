"""Models without MLflow."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from dataclasses import dataclass

from edgeflow import _binary
from edgeflow._baseline import FILE, Data, baseline as make_baseline
from edgeflow._client import Client


@dataclass(frozen=True)
class ModelVersion:
    """A registered version.

    Attributes:
        model: Its model.
        version: Its number.
        digest: Of its bundle, `sha256:` and 64 hex digits: its identity on robots and in lineage.
        note: Why no robot can run it, or which check was not made; empty when there is nothing to say.
    """

    model: str
    version: str
    digest: str
    note: str = ""


def push(
    model: str | os.PathLike[str],
    name: str,
    *,
    baseline: Data | None = None,
    baseline_name: str = "X",
    manifest: str | os.PathLike[str] | None = None,
    description: str | None = None,
    client: Client | None = None,
) -> ModelVersion:
    """Registers an ONNX file, or a bundle's folder, as the next version of a model. What is a version already is that version.

    Args:
        model: The file or folder.
        name: The model; made if it is new.
        baseline: A `baseline.json`, or training data to make one of: see `edgeflow.baseline`.
        baseline_name: What the elements of an array are called.
        manifest: `edgeflow.yaml`, beside an ONNX file.
        description: For people.
        client: The control plane; see `Client`.

    Raises:
        EdgeflowError: The control plane refuses it, in its words.
    """
    client = client or Client()
    command: list[str | os.PathLike[str]] = ["--output", "json", "model", "push", model, "--name", name]
    if manifest is not None:
        command += ["--manifest", manifest]
    if description is not None:
        command += ["--description", description]
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
        if isinstance(baseline, (str, os.PathLike)):
            command += ["--baseline", baseline, "--baseline-name", baseline_name]
        elif baseline is not None:
            file = pathlib.Path(folder, FILE)
            file.write_text(json.dumps(make_baseline(baseline, name=baseline_name), indent=2) + "\n", encoding="utf-8")
            command += ["--baseline", file]
        made = json.loads(_binary.run(command, client.environment()))
    return ModelVersion(made["model"], made["version"], made["digest"], made.get("note", ""))
