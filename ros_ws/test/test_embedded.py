"""Nodes on the embedded stack and nodes on r2r under rmw_zenoh are one graph, both ways."""

import os
import pathlib

import pytest

from conftest import RMW, ROOT

pytestmark = pytest.mark.skipif(RMW != "rmw_zenoh_cpp", reason="the embedded stack speaks as rmw_zenoh_cpp does")

BIN = pathlib.Path(os.environ.get("EDGEFLOW_BIN_DIR", ROOT / "target" / "debug"))
NODE = "/robot_1/inference_node"
ROUTER = {"EDGEFLOW_ROS_ROUTER": "127.0.0.1:7447"}


def arguments(bundles):
    # Every frame and every result counts here.
    kept = ["image.subscription.reliability:=reliable", "result.publisher.history:=keep_all"]
    parameters = [f"bundle_path:={bundles / 'v1'}", "model_name:=label-reader", "model_version:='1'"]
    parameters += [f"qos_overrides.{NODE}/{policy}" for policy in kept]
    return ["-r", "__ns:=/robot_1", *(word for parameter in parameters for word in ("-p", parameter))]


@pytest.fixture
def embedded(world, bundles):
    world.env.update(ROUTER)
    world.start(BIN / "inference_node", "--ros-args", *arguments(bundles))
    world.until(lambda: "active [3]" in world.ros2("lifecycle", "get", NODE, check=False), "an active embedded node")


def test_ros2_drives_an_embedded_node(world, embedded, bundles):
    assert NODE in world.ros2("node", "list")
    topics = world.ros2("topic", "list", "-t")
    assert f"{NODE}/result [edgeflow_msgs/msg/InferenceResult]" in topics
    status = world.ros2(
        "topic", "echo", "--once", "--qos-durability", "transient_local", f"{NODE}/status", "edgeflow_msgs/msg/DeploymentStatus")
    assert "status: 4" in status
    assert world.ros2("param", "get", NODE, "queue_depth").strip() == "Integer value is: 1000"
    assert "parameter queue_depth is read-only" in world.ros2("param", "set", NODE, "queue_depth", "5", check=False)
    goal = f"{{bundle_path: {bundles / 'v2'}, model_version: '2'}}"
    told = world.ros2("action", "send_goal", "--feedback", f"{NODE}/deploy_model", "edgeflow_msgs/action/DeployModel", goal)
    assert "Goal finished with status: SUCCEEDED" in told and "status: 2" in told
    info = world.ros2("service", "call", f"{NODE}/get_model_info", "edgeflow_msgs/srv/GetModelInfo")
    assert "version='2'" in info
    assert "Transitioning successful" in world.ros2("lifecycle", "set", NODE, "deactivate")


def test_a_ros2_camera_is_seen_by_an_embedded_node_and_its_results_by_ros2(world, embedded, talker):
    from test_frames import RELIABLE, frame
    from edgeflow_msgs.msg import InferenceResult
    from sensor_msgs.msg import Image

    stamps = []
    talker.create_subscription(InferenceResult, f"{NODE}/result", lambda r: stamps.append(r.header.stamp.sec), RELIABLE)
    camera = talker.create_publisher(Image, f"{NODE}/image", RELIABLE)
    talker.spin_until(lambda: camera.get_subscription_count() == 1 and talker.count_publishers(f"{NODE}/result") == 1, "both ends")
    for stamp in range(50):
        camera.publish(frame(64, 48, stamp))
    talker.spin_until(lambda: len(stamps) >= 50, "50 results")
    assert stamps == list(range(50))


def test_the_embedded_command_line_drives_an_r2r_node(world, bundles):
    world.env.update(ROUTER)
    world.inference(*arguments(bundles))
    world.until(lambda: "active [3]" in world.ros2("lifecycle", "get", NODE, check=False), "an active node")

    def edgeflow(*command):
        import subprocess

        done = subprocess.run([BIN / "edgeflow", "ros", *command], env=world.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert NODE in edgeflow("node", "list")
    assert "status: 4" in edgeflow("topic", "echo", "--once", f"{NODE}/status")
    assert "label-reader" in edgeflow("service", "call", f"{NODE}/get_model_info")
    assert "active" in edgeflow("lifecycle", "get", NODE)
    goal = f"{{bundle_path: {bundles / 'v2'}, model_version: '2'}}"
    assert "SUCCEEDED" in edgeflow("action", "send_goal", f"{NODE}/deploy_model", "edgeflow_msgs/action/DeployModel", goal).upper()
