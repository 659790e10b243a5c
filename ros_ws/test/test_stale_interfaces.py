"""A node never runs with interfaces other than it was built with: its structs and the libraries would disagree about memory."""

import os
import pathlib
import re

MESSAGE = "edgeflow_msgs/msg/DriftReport"


def test_a_node_refuses_messages_that_were_built_anew_under_it(world, tmp_path):
    installed = pathlib.Path(world.ros2("pkg", "prefix", "--share", "edgeflow_msgs").strip())
    # An overlay as `colcon build --packages-select edgeflow_msgs` would leave it after a field was added.
    share = tmp_path / "overlay/share/edgeflow_msgs"
    (share / "msg").mkdir(parents=True)
    (share / "package.xml").write_text((installed / "package.xml").read_text())
    description = (installed / "msg/DriftReport.json").read_text()
    (found,) = re.findall(rf'"{MESSAGE}",\s+"hash_string": "(RIHS01_[0-9a-f]+)"', description)
    (share / "msg/DriftReport.json").write_text(description.replace(found, "RIHS01_" + "0" * 64))

    world.env["AMENT_PREFIX_PATH"] = os.pathsep.join([str(tmp_path / "overlay"), world.env["AMENT_PREFIX_PATH"]])
    node = world.node("edgeflow_markers", "drift_markers_node")
    assert node.process.wait(timeout=30) == 1
    assert MESSAGE in node.output() and found in node.output(), node.output()
    assert "build this program again" in node.output()
