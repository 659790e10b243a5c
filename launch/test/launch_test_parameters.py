"""config/robot.yaml has every parameter of every node, with its default."""

import sys
import tempfile
import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import yaml
from launch import LaunchDescription
from launch_ros.actions import Node
from rcl_interfaces.srv import GetParameters, ListParameters
from rclpy.parameter import parameter_value_to_python

sys.path.insert(0, str(Path(__file__).parent))
from support import listener, router  # noqa: E402

CONFIG = Path(__file__).parent.parent / 'config/robot.yaml'
FOLDER = Path(tempfile.mkdtemp(prefix='edgeflow-launch-test-'))
NODES = {
    'edgeflow_bridge': 'bridge_node',
    'edgeflow_inference': 'inference_node',
    'edgeflow_markers': 'drift_markers_node',
    'edgeflow_sim': 'sim_robot',
}
# Without a default; given by the launch file.
REQUIRED = {'robot': 'robot-1', 'data_dir': str(FOLDER), 'token_file': str(FOLDER / 'token')}


def generate_test_description():
    (FOLDER / 'token').write_text('token')
    nodes = [
        Node(
            package=package,
            executable=node,
            namespace='defaults',
            parameters=[REQUIRED] if node == 'bridge_node' else [],
            output='both',
        )
        for package, node in NODES.items()
    ]
    return LaunchDescription([*router(), *nodes, launch_testing.actions.ReadyToTest()])


class Defaults(unittest.TestCase):
    def test_the_file_says_what_the_nodes_say(self):
        sections = yaml.safe_load(CONFIG.read_text())
        self.assertEqual({name.removeprefix('/**/') for name in sections}, set(NODES.values()))
        with listener() as listening:
            for name in NODES.values():
                written = sections[f'/**/{name}']['ros__parameters']
                listed = listening.call(ListParameters, f'/defaults/{name}/list_parameters', ListParameters.Request())
                # Every node has these, and qos_overrides are named by topics.
                own = [n for n in listed.result.names if n != 'use_sim_time' and not n.startswith('qos_overrides.')]
                if name == 'bridge_node':
                    own = [n for n in own if n not in REQUIRED]
                answer = listening.call(GetParameters, f'/defaults/{name}/get_parameters', GetParameters.Request(names=own))
                found = {n: parameter_value_to_python(value) for n, value in zip(own, answer.values)}
                self.assertEqual(written, found, name)
