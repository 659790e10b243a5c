"""Talks to the bridge on this robot from programs that are not ROS nodes. Standard library only; copy it where you need it.

    from edgeflow_bridge_client import Bridge

    bridge = Bridge("/var/lib/edgeflow/bridge/bridge.sock")
    bridge.event("charger", "docked", message="dock 3", data={"volts": 25.2})
    temperature = bridge.channel("charger/temperature", unit="degC")
    temperature.send(31.5)
    print(bridge.status()["connected"])
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any, Iterable

__all__ = ["Bridge", "BridgeError", "Channel"]


class BridgeError(Exception):
    """The bridge refused, and says why. `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Bridge:
    """The bridge behind `socket_path`. Each call is a connection of its own, so one object may serve many threads."""

    def __init__(self, socket_path: str, timeout_s: float = 10.0) -> None:
        self._path = socket_path
        self._timeout_s = timeout_s

    def status(self) -> dict[str, Any]:
        """Whether the control plane answers, and what the edge log holds."""
        return self._call("GET", "/v1/status")

    def config(self) -> dict[str, Any] | None:
        """The desired state this robot has taken up; None before the first."""
        return self._call("GET", "/v1/config")

    def event(
        self,
        source: str,
        name: str,
        *,
        message: str = "",
        severity: str = "info",
        data: Any = None,
        t_us: int | None = None,
    ) -> bool:
        """Says what happened. True when it is on the disk, False when the disk takes nothing now and the bridge holds it."""
        body = {"source": source, "name": name, "message": message, "severity": severity, "data": data, "t_us": t_us}
        return self._call("POST", "/v1/events", body)["durable"]

    def channel(self, name: str, *, unit: str = "", description: str = "", detail: bool = False) -> Channel:
        """Registers `program/channel`. `detail` numbers are the first to go when the log is full."""
        body = {"unit": unit, "description": description, "class": "detail" if detail else "summary"}
        self._call("PUT", f"/v1/channels/{name}", body)
        return Channel(self, name)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        connection = _UnixConnection(self._path, self._timeout_s)
        try:
            text = None if body is None else json.dumps(body, allow_nan=False)
            connection.request(method, path, text, {"content-type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        value = json.loads(answer) if answer else None
        if response.status >= 400:
            raise BridgeError(response.status, value["error"])
        return value


class Channel:
    """A registered telemetry channel."""

    def __init__(self, bridge: Bridge, name: str) -> None:
        self._bridge = bridge
        self.name = name

    def send(self, value: float, t_us: int | None = None) -> bool:
        """Sends one number, of now unless `t_us` (microseconds since the Unix epoch) says otherwise."""
        return self.send_many([(t_us, value)])

    def send_many(self, points: Iterable[tuple[int | None, float]]) -> bool:
        """Sends pairs of time and number as one entry, at most 2,000."""
        body = {"points": [{"t_us": t_us, "value": value} for t_us, value in points]}
        return self._bridge._call("POST", f"/v1/channels/{self.name}/points", body)["durable"]
