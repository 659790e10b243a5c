"""A capture of a real bridge, through a real control plane, read by PyPI's stock MCAP reader, which knows nothing of our interfaces."""

import os
import pathlib
import socket
import subprocess
import time

import pytest
import yaml
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

BIN = pathlib.Path(os.environ["EDGEFLOW_BIN_DIR"])
TOKEN = "admin-token-of-this-test"
MESSAGES = 3


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    """The file of a capture, fetched by `edgeflow captures get`."""
    folder = tmp_path_factory.mktemp("capture")
    environment = {**os.environ, "EDGEFLOW_ROS_ROUTER": f"127.0.0.1:{free_port()}", "EDGEFLOW_ADMIN_TOKEN": TOKEN, "EDGEFLOW_TOKEN": TOKEN}
    processes = []

    def start(*command, **pipes):
        processes.append(subprocess.Popen([str(word) for word in command], env=environment, text=True, **pipes))
        return processes[-1]

    def edgeflow(*arguments):
        command = [BIN / "edgeflow", *arguments]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60, cwd=folder)
        return done.stdout

    try:
        listens = ("--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0")
        server = start(BIN / "edgeflow-server", "--data-dir", folder / "server", *listens, stdout=subprocess.PIPE)
        environment["EDGEFLOW_URL"] = next(word for word in server.stdout.readline().split() if word.startswith("http://"))
        start(BIN / "edgeflow", "ros", "router")
        edgeflow("targets", "enrol", "robot-1", "--token-file", folder / "token")
        parameters = {
            "robot": "robot-1",
            "data_dir": folder / "data",
            "token_file": folder / "token",
            "uplinks": "[http]",
            "http": environment["EDGEFLOW_URL"],
            "capture_topics": "[chatter, battery]",
        }
        (folder / "data").mkdir()
        words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        start(BIN / "bridge_node", "--ros-args", "-r", "__ns:=/robot_1", *words)
        policy = {"capture": {"allow": ["**"], "before_s": 600, "after_s": 0}}
        (folder / "policy.yaml").write_text(yaml.safe_dump(policy), encoding="utf-8")
        edgeflow("policy", "set", "policy.yaml", "--to", "robot-1")
        deadline = time.monotonic() + 60
        while "applied" not in edgeflow("policy", "show", "robot-1"):
            assert time.monotonic() < deadline
        # They stay for a while, so that the bridge finds them.
        for topic, ty, message in (
            ("/robot_1/chatter", "std_msgs/msg/String", {"data": "höre"}),
            ("/robot_1/battery", "sensor_msgs/msg/BatteryState", {"percentage": 0.125, "cell_voltage": [3.5, 3.25]}),
        ):
            edgeflow("ros", "topic", "pub", "--times", str(MESSAGES), "--rate", "5", topic, ty, yaml.safe_dump(message))
        edgeflow("command", "capture", "robot-1", "--reason", "read back")
        while " stored " not in edgeflow("captures", "list", "robot-1"):
            assert time.monotonic() < deadline
        edgeflow("captures", "get", "robot-1", "--out", "capture.mcap")
        yield folder / "capture.mcap"
    finally:
        for process in reversed(processes):
            process.terminate()
            process.wait(timeout=20)
            if process.stdout:
                process.stdout.close()


def test_messages_are_those_that_were_published(capture):
    seen = {}
    with open(capture, "rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        assert reader.get_header().profile == "ros2"
        for schema, channel, message, decoded in reader.iter_decoded_messages():
            assert message.log_time > 1_600_000_000_000_000_000
            seen.setdefault((channel.topic, schema.name), []).append(decoded)
    assert set(seen) == {("/robot_1/chatter", "std_msgs/msg/String"), ("/robot_1/battery", "sensor_msgs/msg/BatteryState")}
    assert [text.data for text in seen["/robot_1/chatter", "std_msgs/msg/String"]] == ["höre"] * MESSAGES
    for battery in seen["/robot_1/battery", "sensor_msgs/msg/BatteryState"]:
        assert battery.percentage == 0.125 and list(battery.cell_voltage) == [3.5, 3.25] and battery.header.frame_id == ""
