"""The displays name topics that the nodes have, with types the displays can show, and QoS that meets theirs."""

import json
import pathlib
import re

import yaml

ROOM = pathlib.Path(__file__).resolve().parents[1]
ROOT = ROOM.parent
# Whose README says what is on which topic. `~` stands for the node's name.
READMES = {
    "inference_node": ROOT / "ros_ws/src/edgeflow_inference/README.md",
    "drift_markers_node": ROOT / "ros_ws/src/edgeflow_markers/README.md",
}
# What the robot brings: the camera and odometry that our nodes read, by the names launch/ gives them.
ROBOT = {"camera/image": "sensor_msgs/Image", "odom": "nav_msgs/Odometry"}
SHOWS = {
    "rviz_default_plugins/Image": "sensor_msgs/Image",
    "rviz_default_plugins/Odometry": "nav_msgs/Odometry",
    "rviz_default_plugins/MarkerArray": "visualization_msgs/MarkerArray",
}


def topics():
    """Type and QoS of each topic of a robot, by its name in the robot's namespace."""
    found = {name: (kind, "") for name, kind in ROBOT.items()}
    for node, readme in READMES.items():
        for row in re.findall(r"^\| `([^`]+)` \| `([a-z_]+/[A-Za-z0-9]+)` \| \w+ \| ([^|]*)\|", readme.read_text(), re.M):
            name, kind, qos = row
            found[name.replace("~", node, 1)] = (kind, qos)
    return found


def displays():
    config = yaml.safe_load((ROOM / "displays/robot.rviz").read_text())
    return [d for d in config["Visualization Manager"]["Displays"] if "Topic" in d]


def test_every_display_shows_a_topic_that_is_there_in_a_type_it_knows():
    known = topics()
    assert len(displays()) >= 3
    for display in displays():
        kind, _ = known[display["Topic"]["Value"]]
        assert SHOWS[display["Class"]] == kind, display["Name"]


def test_qualities_of_service_meet():
    for display in displays():
        topic, (_, offered) = display["Topic"], topics()[display["Topic"]["Value"]]
        if topic["Durability Policy"] == "Transient Local":
            assert "latched" in offered, f"{display['Name']} would wait for what nobody keeps"
        if topic["Value"] in ROBOT or "best effort" in offered:
            assert topic["Reliability Policy"] == "Best Effort", f"{display['Name']} would hear nothing from what is best effort"


def test_every_topic_of_the_foxglove_layout_is_there():
    layout = json.loads((ROOM / "foxglove/robot.json").read_text())
    known = {f"/robot_1/{name}" for name in topics()} | {"/diagnostics", "/rosout"}
    named = set(re.findall(r'"(/[a-z0-9_/]+)', json.dumps(layout)))
    assert named and named <= known, named - known


def test_every_panel_of_the_foxglove_layout_has_a_place_and_a_configuration():
    layout = json.loads((ROOM / "foxglove/robot.json").read_text())

    def panels(part):
        return [part] if isinstance(part, str) else panels(part["first"]) + panels(part["second"])

    assert sorted(panels(layout["layout"])) == sorted(layout["configById"])
