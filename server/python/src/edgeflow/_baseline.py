"""Drift references: what a model's inputs look like when nothing is wrong."""

from __future__ import annotations

import json
import os
import pathlib
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from edgeflow import _binary
from edgeflow._error import EdgeflowError

if TYPE_CHECKING:
    import numpy

#: By this name robots look for it in a bundle.
FILE = "baseline.json"
#: Where among a run's artifacts the control plane looks for files of a bundle.
RUN_FOLDER = "edgeflow"


@runtime_checkable
class _Frame(Protocol):
    """As much of a `pandas.DataFrame` as is needed."""

    @property
    def columns(self) -> Any: ...

    def to_csv(self, path: Any, *, index: bool) -> Any: ...


class _Array(Protocol):
    """What NumPy makes an array of."""

    def __array__(self, *args: Any, **kwargs: Any) -> numpy.ndarray[Any, Any]: ...


#: A file or folder (.npy, .csv, .parquet, images), a data frame, or an array.
Data: TypeAlias = "str | os.PathLike[str] | _Frame | _Array | Sequence[Any]"


def baseline(data: Data, *, name: str = "X", prefix: str = "", categorical: Sequence[str] = (), bins: int | None = None) -> dict[str, Any]:
    """The drift reference of training data, as `edgeflow baseline build` makes it.

    Args:
        data: Rows in the order of time: a path (.npy, .csv, .parquet, a folder of images), a data frame with named columns, or an array
            (rows x elements; uint8 images x rows x columns [x channels] are images).
        name: What the elements of an array are called: `X[0]`, `X[1]`, ...; best the name of the model's input.
        prefix: What features' names begin with; `output.` makes them those of the model's outputs.
        categorical: Columns whose numbers are codes of categories.
        bins: Bins of a numeric feature.

    Returns:
        The content of `baseline.json`.

    Raises:
        EdgeflowError: No baseline can be made of the data, or there is no program `edgeflow`.
    """
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
        out = pathlib.Path(folder, FILE)
        command: list[str | os.PathLike[str]] = ["baseline", "build", _file(data, pathlib.Path(folder)), "--out", out]
        command += ["--name", name, "--prefix", prefix]
        if categorical:
            command += ["--categorical", ",".join(categorical)]
        if bins is not None:
            command += ["--bins", str(bins)]
        _binary.run(command)
        made: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return made


def log_baseline(
    data: Data,
    *,
    model_id: str | None = None,
    name: str = "X",
    prefix: str = "",
    categorical: Sequence[str] = (),
    bins: int | None = None,
) -> dict[str, Any]:
    """Makes the drift reference of training data, and logs it with MLflow so that the bundle of the model gets it.

    Without `model_id` it goes to the active run: log it before the model is registered, and every version that comes out of the run has
    it. With `model_id` (what `log_model(...)` returns has one) it goes to that logged model: log it before that is registered.

    Args:
        data: See `baseline`, as for the rest.
        model_id: A logged model.

    Returns:
        What was logged.

    Raises:
        EdgeflowError: No baseline can be made of the data, no run is active, or MLflow is not installed.
    """
    try:
        import mlflow
    except ImportError as error:
        raise EdgeflowError("mlflow is not installed: pip install mlflow-skinny, or use edgeflow.push") from error
    run = mlflow.active_run()
    if model_id is None and run is None:
        raise EdgeflowError("no run is active: call it inside of mlflow.start_run(), or give model_id")
    made = baseline(data, name=name, prefix=prefix, categorical=categorical, bins=bins)
    with tempfile.TemporaryDirectory(prefix="edgeflow-") as folder:
        file = pathlib.Path(folder, FILE)
        file.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
        if model_id is not None:
            mlflow.MlflowClient().log_model_artifacts(model_id, folder)
        else:
            mlflow.log_artifact(str(file), RUN_FOLDER)
    return made


def _file(data: Data, folder: pathlib.Path) -> pathlib.Path:
    """The data as a file that the program reads."""
    if isinstance(data, (str, os.PathLike)):
        return pathlib.Path(data)
    if isinstance(data, _Frame):
        file = folder / "data.csv"
        data.to_csv(file, index=False)
        return file
    import numpy

    file = folder / "data.npy"
    array = numpy.asarray(data)
    if array.dtype == object:
        raise EdgeflowError("the data is no array of numbers: its rows differ in length, or hold something else")
    numpy.save(file, array, allow_pickle=False)
    return file
