"""Types of an interface package that was built after the nodes: the bridge reads, publishes and forwards them all the same."""

import json
import os
import pathlib
import re
import socket
import subprocess
import urllib.parse
import urllib.request

import pytest
import yaml

from conftest import ROOT

BIN = pathlib.Path(os.environ.get("EDGEFLOW_BIN_DIR", ROOT / "target" / "debug"))
SOURCES = ROOT / "ros_ws" / "src" / "edgeflow_ros" / "tests" / "foreign_msgs"
GRIP = "foreign_msgs/msg/Grip"
TOKEN = "admin-token-of-this-test"


@pytest.fixture(scope="module")
def overlay():
    """The package as a workspace of its own, kept for the tests under the next RMW."""
    folder = BIN.parent / "ros" / "foreign"
    folder.mkdir(parents=True, exist_ok=True)
    command = ["colcon", "--log-base", folder / "log", "build", "--base-paths", SOURCES, "--cmake-args", "-DBUILD_TESTING=OFF"]
    built = subprocess.run([str(word) for word in command], cwd=folder, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder / "install" / "local_setup.bash"


@pytest.fixture
def plane(world, overlay):
    """A control plane over TLS, and the overlay sourced for everything in the world."""
    told = subprocess.run(["bash", "-c", '. "$0" && env -0', overlay], env=world.env, capture_output=True, text=True, check=True)
    world.env.update(word.split("=", 1) for word in told.stdout.split("\0") if word)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        # The desk has a graph of its own, apart from the robot's.
        desk = f"127.0.0.1:{probe.getsockname()[1]}"
    world.env.update(EDGEFLOW_ADMIN_TOKEN=TOKEN, EDGEFLOW_TOKEN=TOKEN, EDGEFLOW_ROS_ROUTER=desk)
    doors = [word for door in ["local-listen", "listen", "mqtt-listen", "zenoh-listen"] for word in (f"--{door}", "127.0.0.1:0")]
    server = world.start(BIN / "edgeflow-server", "--data-dir", world.folder / "server", "--tls", *doors)
    first = world.until(lambda: re.search(r"edgeflow-server listening on (.*)\n", server.output()), "a control plane").group(1)
    addresses = dict(word.split("://") for word in first.split())
    world.env["EDGEFLOW_URL"] = f"http://{addresses['http']}"
    return addresses


@pytest.fixture
def edgeflow(world, plane):
    def run(*words, check=True):
        done = subprocess.run([BIN / "edgeflow", *map(str, words)], env=world.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 or not check, f"{words}: {done.stdout}{done.stderr}\n{world.outputs()}"
        return done.stdout + done.stderr

    return run


@pytest.fixture
def bridge(world, plane, edgeflow):
    """An enrolled robot whose bridge may publish and forward what a gripper says."""
    folder = world.folder
    edgeflow("targets", "enrol", "robot-1", "--token-file", folder / "unused")
    edgeflow("targets", "bootstrap", "robot-1", "--token-file", folder / "token")
    edgeflow("enroll", "--token", folder / "token", "--server", f"https://{plane['https']}", "--out", folder / "identity")
    (folder / "data").mkdir()
    parameters = {
        "robot": "robot-1", "data_dir": folder / "data", "identity_dir": folder / "identity", "uplinks": "[http]",
        "http": f"https://{plane['https']}", "mqtt": plane["mqtts"], "zenoh": plane["zenoh"], "command_topics": "[/squeeze]",
        "live_from_robot": "[/grip]", "live_to_robot": "[/squeeze]",
    }
    return world.node("edgeflow_bridge", "bridge_node", *(w for n, v in parameters.items() for w in ("-p", f"{n}:={v}")))


def pub(world, topic, value, rate=5):
    return world.start("ros2", "topic", "pub", "--rate", rate, topic, GRIP, json.dumps(value), name="pub")


def echo(world, topic):
    """Writes each message as YAML, from the moment that its subscription is there."""
    return world.start("ros2", "topic", "echo", topic, GRIP, name="echo")


def series(world, channel):
    query = urllib.parse.urlencode({"channel": channel})
    address = f"{world.env['EDGEFLOW_URL']}/api/v1/targets/robot-1/telemetry?{query}"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read().decode()


def attempt(world, *words):
    """What `edgeflow ros` says at the desk, or nothing."""
    try:
        done = subprocess.run([BIN / "edgeflow", "ros", *words], env=world.env, capture_output=True, text=True, timeout=10)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout if done.returncode == 0 else ""


def test_a_policy_reads_it(world, edgeflow, bridge):
    pub(world, "/grip", {"count": 4711, "thumb": {"strain": 0.125}, "label": "mug"})
    policy = {"routes": [{
        "name": "gripper", "allow": ["/grip"], "fields": ["count", "thumb.strain"], "samples": {"max_hz": 5}, "class": "event"}]}
    (world.folder / "policy.yaml").write_text(yaml.safe_dump(policy), encoding="utf-8")
    edgeflow("policy", "set", world.folder / "policy.yaml", "--to", "robot-1")
    world.until(lambda: "applied" in edgeflow("policy", "show", "robot-1"), "an applied policy")
    world.until(lambda: "4711" in series(world, "/grip:count"), "the count at the control plane")
    assert "0.125" in series(world, "/grip:thumb.strain")


def test_a_command_publishes_it_with_the_defaults_of_its_definition(world, edgeflow, bridge):
    heard = echo(world, "/squeeze")

    message = "{count: 9, held: true, torques_nm: [1.0], fingers: [{name: index}]}"

    def told():
        # A robot publishes once somebody subscribes, and does not wait long for that.
        said = edgeflow("command", "publish", "robot-1", "/squeeze", GRIP, message, check=False)
        assert "done" in said or "nobody subscribes" in said, said
        return "count: 9\n" in heard.output()

    world.until(told, "the command's message on the robot")
    message = next(document for document in yaml.safe_load_all(heard.output()) if document)
    assert message["held"] and message["torques_nm"] == [1.0] and message["fingers"][0]["name"] == "index"
    assert (message["label"], message["force_n"]) == ('it is "held"', [1.5, 0.0, -1.5])
    assert message["fingers"][0]["position"] == message["thumb"]["position"] == -7


def test_it_is_forwarded_live_and_back(world, edgeflow, bridge):
    router = world.start(BIN / "edgeflow", "ros", "router", name="desk-router")
    world.until(lambda: "listening on" in router.output(), "a router at the desk")
    pub(world, "/grip", {"count": 4712, "label": "cup"})
    there = echo(world, "/squeeze")
    session = world.start(BIN / "edgeflow", "live", "robot-1", "/grip", "--to-robot", f"/squeeze:{GRIP}", "--for", "2m", name="live")
    # The desk knows the type by the installation it has sourced, or of the description beside it.
    seen = world.until(
        lambda: attempt(world, "topic", "echo", "--once", "/robot_1/grip"), "the robot's topic at the desk")
    assert "count: 4712" in seen and "label: cup" in seen, seen
    world.until(
        lambda: attempt(world, "topic", "pub", "--once", "/robot_1/squeeze", GRIP, "{count: 13}") and "count: 13\n" in there.output(),
        "the desk's message on the robot")
    assert session.process.poll() is None, session.output()
