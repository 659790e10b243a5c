"""What `ros2` shows of an inference node and does with it."""

import signal

import pytest
import yaml

NODE = "/robot_1/inference_node"


@pytest.fixture
def node(world, bundles):
    program = world.inference(
        "-r", "__ns:=/robot_1", "-p", f"bundle_path:={bundles / 'v1'}", "-p", "model_name:=label-reader", "-p", "model_version:='1'")
    world.until(lambda: "active [3]" in world.ros2("lifecycle", "get", NODE, check=False), "an active node")
    return program


def test_packages_and_interfaces_are_found(world):
    executables = world.ros2("pkg", "executables")
    for line in ["edgeflow_inference inference_node", "edgeflow_bridge bridge_node", "edgeflow_sim sim_robot",
                 "edgeflow_markers drift_markers_node"]:
        assert line in executables.splitlines()
    assert "float64 psi" in world.ros2("interface", "show", "edgeflow_msgs/msg/DriftReport")
    assert "string bundle_path" in world.ros2("interface", "show", "edgeflow_msgs/action/DeployModel")


def test_parameters_are_listed_described_set_and_dumped(world, node):
    listed = world.ros2("param", "list", NODE).split()
    for name in ["autostart", "bundle_path", "queue_depth", "use_sim_time"]:
        assert name in listed
    assert world.ros2("param", "get", NODE, "queue_depth").strip() == "Integer value is: 1000"
    described = world.ros2("param", "describe", NODE, "queue_depth")
    assert "Frames that may wait" in described and "Max value: 100000" in described and "Read only: true" not in described
    assert "Set parameter successful" in world.ros2("param", "set", NODE, "queue_depth", "5")
    assert world.ros2("param", "get", NODE, "queue_depth").strip() == "Integer value is: 5"
    assert "Read only: true" in world.ros2("param", "describe", NODE, "slots")
    refused = world.ros2("param", "set", NODE, "slots", "[other]", check=False)
    assert "parameter slots is read-only" in refused
    assert "Set parameter successful" in world.ros2("param", "set", NODE, "use_sim_time", "true")
    dumped = yaml.safe_load(world.ros2("param", "dump", NODE))
    parameters = dumped[NODE]["ros__parameters"]
    assert parameters["use_sim_time"] is True and parameters["queue_policy"] == "all"


def test_parameter_files_reach_the_node_and_bad_values_stop_it(world, tmp_path):
    file = tmp_path / "robot.yaml"
    file.write_text("/**:\n  ros__parameters: {autostart: false}\n/robot_1/inference_node:\n  ros__parameters: {queue_depth: 7}\n")
    world.inference("-r", "__ns:=/robot_1", "--params-file", file)
    world.until(lambda: NODE in world.ros2("node", "list"), "the node")
    assert world.ros2("param", "get", NODE, "queue_depth").strip() == "Integer value is: 7"
    file.write_text("/**:\n  ros__parameters: {queue_depth: 0}\n")
    program = world.inference("--params-file", file)
    assert program.process.wait(timeout=60) != 0
    assert "parameter queue_depth of /inference_node must be from 1 to 100000, got 0" in program.output()


def test_the_lifecycle_is_driven_by_the_command_line(world, bundles):
    world.inference("-r", "__ns:=/robot_1", "-p", "autostart:=false", "-p", f"bundle_path:={bundles / 'v1'}")
    world.until(lambda: NODE in world.ros2("lifecycle", "nodes"), "a managed node")
    assert world.ros2("lifecycle", "get", NODE).strip() == "unconfigured [1]"
    assert "configure [1]" in world.ros2("lifecycle", "list", NODE)
    assert "Transitioning successful" in world.ros2("lifecycle", "set", NODE, "configure")
    assert "Transitioning successful" in world.ros2("lifecycle", "set", NODE, "activate")
    assert world.ros2("lifecycle", "get", NODE).strip() == "active [3]"
    assert "Transitioning successful" in world.ros2("lifecycle", "set", NODE, "deactivate")
    assert "Transitioning successful" in world.ros2("lifecycle", "set", NODE, "cleanup")
    assert world.ros2("lifecycle", "get", NODE).strip() == "unconfigured [1]"


def test_a_model_is_deployed_by_an_action_with_feedback(world, node, bundles):
    goal = f"{{bundle_path: {bundles / 'v2'}, model_name: label-reader, model_version: '2'}}"

    def deployed():
        told = world.ros2("action", "send_goal", "--feedback", f"{NODE}/deploy_model", "edgeflow_msgs/action/DeployModel", goal)
        assert "Goal finished with status: SUCCEEDED" in told
        # Feedback is not kept for a client whose subscription the server has not heard of yet.
        return "status: 2" in told and "status: 3" in told

    world.until(deployed, "feedback of every step")
    info = world.ros2("service", "call", f"{NODE}/get_model_info", "edgeflow_msgs/srv/GetModelInfo")
    assert "version='2'" in info
    assert f"{NODE}/deploy_model" in world.ros2("action", "list")


def test_the_latched_status_reaches_whoever_comes_late(world, node):
    status = world.ros2(
        "topic", "echo", "--once", "--qos-durability", "transient_local", "--qos-reliability", "reliable", f"{NODE}/status",
        "edgeflow_msgs/msg/DeploymentStatus")  # without its type the topic must be known to a daemon that has just begun
    assert "status: 4" in status and "model_name: label-reader" in status


def test_logs_reach_rosout_with_level_and_logger(world, node, talker, bundles):
    from rcl_interfaces.msg import Log

    heard = []
    talker.create_subscription(Log, "/rosout", heard.append, 100)
    talker.spin_until(lambda: talker.count_publishers("/rosout") >= 2, "the node's logger")
    for bundle in [bundles / "v2", "/nowhere"]:
        world.ros2("service", "call", f"{NODE}/load_model", "edgeflow_msgs/srv/LoadModel", f"{{bundle_path: {bundle}}}")

    def ours(level):
        # A constant of type byte is an int or an octet string, by the age of rosidl.
        level = level[0] if isinstance(level, bytes) else level
        return [log for log in heard if log.name == "robot_1.inference_node" and log.level == level]

    talker.spin_until(lambda: ours(Log.INFO) and ours(Log.ERROR), "a record of each")
    assert "model active" in ours(Log.INFO)[-1].msg and ours(Log.INFO)[-1].line > 0
    assert "/nowhere" in ours(Log.ERROR)[-1].msg and "/nowhere" in node.output()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_and_the_node_leaves_at_once(world, node, talker, sig):
    talker.spin_until(lambda: ("inference_node", "/robot_1") in talker.get_node_names_and_namespaces(), "the node")
    assert node.stop(sig) == 0, node.output()
    # Far below any lease: it said goodbye.
    talker.spin_until(
        lambda: ("inference_node", "/robot_1") not in talker.get_node_names_and_namespaces(), "the node's leaving", timeout_s=3)
