"""The program `edgeflow`, which does what there must be only one implementation of."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from edgeflow._error import EdgeflowError


def run(arguments: Sequence[str | os.PathLike[str]], environment: Mapping[str, str] | None = None) -> str:
    """Runs a command and returns its standard output.

    Raises:
        EdgeflowError: There is no such program, or it failed, in its words.
    """
    program = os.environ.get("EDGEFLOW_BIN") or shutil.which("edgeflow")
    if program is None:
        raise EdgeflowError("the program edgeflow is not on the PATH: install it, or name it with EDGEFLOW_BIN")
    command = [program, *(os.fspath(argument) for argument in arguments)]
    try:
        ran = subprocess.run(command, env={**os.environ, **(environment or {})}, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError as error:
        raise EdgeflowError(f"could not run {program}: {error}") from error
    if ran.returncode != 0:
        raise EdgeflowError(ran.stderr.strip().removeprefix("edgeflow: ") or f"{program} ended with {ran.returncode}")
    return ran.stdout
