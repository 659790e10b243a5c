"""The control plane's HTTP API."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests

from edgeflow._error import EdgeflowError

DEFAULT_URL = "http://127.0.0.1:5000"
TIMEOUT_S = 60.0


class Client:
    """A control plane, and the right to speak to it.

    What is not given is taken from `EDGEFLOW_URL`, `EDGEFLOW_TOKEN` and `EDGEFLOW_CA`; then from MLflow, when its tracking URI is a
    server's (with `MLFLOW_TRACKING_TOKEN` and `MLFLOW_TRACKING_SERVER_CERT_PATH`); then from what `edgeflow login` stored.

    Args:
        url: Address of the control plane.
        token: Token for it.
        ca: File with its CA certificate, for an https:// address.

    Raises:
        EdgeflowError: There is no token, or what was stored can be read by others.
    """

    def __init__(self, url: str | None = None, token: str | None = None, ca: str | None = None) -> None:
        url = url or os.environ.get("EDGEFLOW_URL")
        token = token or os.environ.get("EDGEFLOW_TOKEN")
        ca = ca or os.environ.get("EDGEFLOW_CA")
        tracking = _tracking_uri()
        url = url or tracking
        # A token is only ever sent to the address it belongs to.
        if tracking is not None and url is not None and _same(url, tracking):
            token = token or os.environ.get("MLFLOW_TRACKING_TOKEN") or os.environ.get("MLFLOW_TRACKING_PASSWORD")
            ca = ca or os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH")
        if url is None or token is None:
            login = _login()
            url = url or login.get("url") or DEFAULT_URL
            if _same(url, str(login.get("url"))):
                token, ca = token or login.get("token"), ca or login.get("ca")
        if not token:
            raise EdgeflowError(f"there is no token for {url}: set EDGEFLOW_TOKEN or MLFLOW_TRACKING_TOKEN, or `edgeflow login {url}`")
        self.url: str = url.rstrip("/")
        self._token = token
        self._ca = ca

    def environment(self) -> dict[str, str]:
        """What tells the program `edgeflow` the same, without a secret on a command line."""
        known = {"EDGEFLOW_URL": self.url, "EDGEFLOW_TOKEN": self._token}
        return known if self._ca is None else {**known, "EDGEFLOW_CA": self._ca}

    def get(self, *path: str, query: Mapping[str, str] | None = None) -> Any:
        """Reads a document; `path` are the parts behind `/api/v1`."""
        return self._ask("GET", path, query=query)

    def post(self, *path: str, body: Mapping[str, Any]) -> Any:
        """Sends a document."""
        return self._ask("POST", path, body=body)

    def _ask(
        self, method: str, path: tuple[str, ...], query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        address = "/".join([self.url, "api/v1", *(quote(part, safe="") for part in path)])
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            answer = requests.request(
                method, address, params=query, json=body, headers=headers, timeout=TIMEOUT_S, verify=True if self._ca is None else self._ca
            )
        except (requests.RequestException, OSError) as error:
            raise EdgeflowError(f"no answer from the control plane at {self.url}: {error}") from error
        if not answer.ok:
            raise EdgeflowError(f"the control plane says: {_words(answer)} ({answer.status_code})", answer.status_code)
        try:
            return answer.json()
        except ValueError as error:
            raise EdgeflowError(f"{self.url} does not answer as an Edgeflow control plane: {error}") from error

    def __repr__(self) -> str:
        return f"Client({self.url!r})"


def _words(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.reason


def _same(one: str, other: str) -> bool:
    return one.rstrip("/") == other.rstrip("/")


def _tracking_uri() -> str | None:
    """MLflow's tracking URI, if that is a server's. A script that does not use MLflow does not load it for this."""
    mlflow = sys.modules.get("mlflow")
    uri = mlflow.get_tracking_uri() if mlflow is not None else os.environ.get("MLFLOW_TRACKING_URI")
    return str(uri) if uri and str(uri).startswith(("http://", "https://")) else None


def _login() -> dict[str, Any]:
    """What `edgeflow login` stored."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    file = pathlib.Path(home, "edgeflow", "login.json")
    try:
        if stat.S_IMODE(file.stat().st_mode) & 0o077:
            raise EdgeflowError(f"{file}: others can read the token in it: chmod 600 it, or log in again")
        stored = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise EdgeflowError(f"{file} does not read ({error}): log in again") from error
    return stored if isinstance(stored, dict) else {}
