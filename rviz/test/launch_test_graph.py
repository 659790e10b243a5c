"""The displays against robots that run: what test_displays.py reads in the documents is on the graph, too."""

import re
import time
import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
import rclpy
import yaml
from ament_index_python.packages import get_package_share_directory
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy

ROOM = Path(__file__).parent.parent
PATIENCE_S = 60.0
TYPES = {
    'rviz_default_plugins/Image': 'sensor_msgs/msg/Image',
    'rviz_default_plugins/MarkerArray': 'visualization_msgs/msg/MarkerArray',
    'rviz_default_plugins/Odometry': 'nav_msgs/msg/Odometry',
}
FOXGLOVE = {
    '/robot_1/drift_markers_node/markers': 'visualization_msgs/msg/MarkerArray',
    '/robot_1/inference_node/annotated': 'sensor_msgs/msg/Image',
    '/robot_1/odom': 'nav_msgs/msg/Odometry',
    '/robot_1/inference_node/drift': 'edgeflow_msgs/msg/DriftReport',
    '/robot_1/inference_node/result': 'edgeflow_msgs/msg/InferenceResult',
    '/robot_1/inference_node/status': 'edgeflow_msgs/msg/DeploymentStatus',
    '/diagnostics': 'diagnostic_msgs/msg/DiagnosticArray',
    '/rosout': 'rcl_interfaces/msg/Log',
}


def generate_test_description():
    fleet = IncludeLaunchDescription(
        str(Path(get_package_share_directory('edgeflow_launch')) / 'launch/sim_fleet.launch.py'),
        launch_arguments={'robots': '1'}.items(),
    )
    return LaunchDescription([fleet, launch_testing.actions.ReadyToTest()])


def displays():
    """Class, topic and properties of each display that has a topic."""
    tree = yaml.safe_load((ROOM / 'displays/robot.rviz').read_text())
    return [(d['Class'], d['Topic']['Value'], d) for d in tree['Visualization Manager']['Displays'] if 'Topic' in d]


class Displays(unittest.TestCase):
    def setUp(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('viewer', namespace='/robot_1', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def tearDown(self):
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def until(self, condition, what):
        deadline = time.monotonic() + PATIENCE_S
        while not (held := condition()):
            self.assertLess(time.monotonic(), deadline, f'in vain: {what()}')
            self.executor.spin_once(timeout_sec=0.1)
        return held

    def published(self, topic, wanted):
        """Publishers of a topic, once there are any of this type."""
        types = lambda: {info.topic_type for info in self.node.get_publishers_info_by_topic(topic)}  # noqa: E731
        self.until(lambda: types() == {wanted}, lambda: f'{topic} with {wanted}: {types()}')
        return self.node.get_publishers_info_by_topic(topic)

    def test_every_display_of_rviz_has_a_publisher_it_can_hear(self):
        self.assertEqual({kind for kind, _, _ in displays()}, set(TYPES))
        for kind, topic, display in displays():
            # As RViz resolves it in its namespace.
            for info in self.published(self.node.resolve_topic_name(topic), TYPES[kind]):
                if display['Topic']['Durability Policy'] == 'Transient Local':
                    self.assertEqual(info.qos_profile.durability, DurabilityPolicy.TRANSIENT_LOCAL, topic)

    def test_every_panel_of_foxglove_has_a_publisher(self):
        named = set(re.findall(r'"(/[a-z0-9_/]+)', (ROOM / 'foxglove/robot.json').read_text()))
        self.assertEqual(named, set(FOXGLOVE))
        for topic, wanted in FOXGLOVE.items():
            self.published(topic, wanted)


@launch_testing.post_shutdown_test()
class Ended(unittest.TestCase):
    def test_every_process_ended_with_status_0(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
