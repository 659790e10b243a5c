"""A robot's nodes find each other: what drifts becomes markers, and nothing needs a control plane to be there."""

import sys
import tempfile
import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
from ament_index_python.packages import get_package_share_directory
from diagnostic_msgs.msg import DiagnosticArray
from edgeflow_msgs.msg import DriftReport, UplinkStatus
from edgeflow_msgs.srv import SetCamera
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch_ros.actions import Node
from visualization_msgs.msg import Marker, MarkerArray

sys.path.insert(0, str(Path(__file__).parent))
from support import LATCHED, listener, router  # noqa: E402

ROBOT = str(Path(__file__).parent.parent / 'launch/robot.launch.py')
MODELS = Path(get_package_share_directory('edgeflow_sim')) / 'models'
FOLDER = Path(tempfile.mkdtemp(prefix='edgeflow-launch-test-'))
PARAMETERS = """
/**/inference_node:
  ros__parameters: {drift_window_frames: 20}
/**/drift_markers_node:
  ros__parameters: {size_m: 0.25}
"""


def generate_test_description():
    (FOLDER / 'token').write_text('token-of-robot-7')
    (FOLDER / 'params.yaml').write_text(PARAMETERS)
    camera = Node(
        package='edgeflow_sim', executable='sim_robot', namespace='robot_7', parameters=[{'rate_hz': 50.0}], output='both'
    )
    robot = IncludeLaunchDescription(
        ROBOT,
        launch_arguments={
            'robot': 'robot-7',
            'bundle': str(MODELS / 'v2'),
            'data_dir': str(FOLDER),
            'params_file': str(FOLDER / 'params.yaml'),
            # Nobody listens there: a bridge without a link goes on.
            'mqtt': '127.0.0.1:9',
            'http': 'http://127.0.0.1:9',
        }.items(),
    )
    return LaunchDescription([*router(), camera, robot, launch_testing.actions.ReadyToTest()])


class Driving(unittest.TestCase):
    def test_a_dark_camera_turns_the_markers_red(self):
        with listener() as listening:
            reports = listening.subscribe(DriftReport, '/robot_7/inference_node/drift')
            markers = listening.subscribe(MarkerArray, '/robot_7/drift_markers_node/markers', LATCHED)
            uplink = listening.subscribe(UplinkStatus, '/robot_7/bridge_node/status', LATCHED)
            diagnostics = listening.subscribe(DiagnosticArray, '/diagnostics')

            listening.until(lambda: len(reports) >= 2 and markers and uplink, 'reports, markers and the status of the uplink')
            self.assertEqual((uplink[-1].robot, uplink[-1].connected), ('robot-7', False))
            column = next(m for m in markers[-1].markers if m.ns == 'drift' and m.action == Marker.ADD)
            self.assertEqual((column.header.frame_id, column.scale.x), ('odom', 0.25), 'odometry places, the file sizes')

            dark = SetCamera.Request(streaming=True, exposure=0.3, blur_px=0.0)
            self.assertTrue(listening.call(SetCamera, '/robot_7/sim_robot/set_camera', dark).success)
            listening.until(lambda: reports[-1].flagged, 'drift to be flagged')
            status = lambda: [m.text for m in markers[-1].markers if m.ns == 'status']  # noqa: E731
            listening.until(lambda: status() and 'DRIFTING' in status()[0], 'the markers to say so')
            red = [m for m in markers[-1].markers if m.ns == 'drift' and m.action == Marker.ADD][-1]
            self.assertGreater(red.color.r, red.color.g)
            drift = lambda: [s for array in diagnostics for s in array.status if s.name == 'robot_7/drift_markers_node: drift']  # noqa: E731
            listening.until(lambda: drift() and drift()[-1].level == b'\x01', 'a warning in the diagnostics')


@launch_testing.post_shutdown_test()
class Ended(unittest.TestCase):
    def test_every_process_ended_with_status_0(self, proc_info):
        self.assertGreaterEqual(len(proc_info.process_names()), 4, proc_info.process_names())
        launch_testing.asserts.assertExitCodes(proc_info)
