"""The inference node alone serves a camera's frames, comes back after a crash, and ends when told to."""

import os
import signal
import sys
import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
from ament_index_python.packages import get_package_share_directory
from edgeflow_msgs.msg import DeploymentStatus, InferenceResult
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription
from launch_ros.actions import Node

sys.path.insert(0, str(Path(__file__).parent))
from support import LATCHED, listener, router  # noqa: E402

STANDALONE = str(Path(__file__).parent.parent / 'launch/standalone.launch.py')
MODELS = Path(get_package_share_directory('edgeflow_sim')) / 'models'


def generate_test_description():
    camera = Node(package='edgeflow_sim', executable='sim_robot', namespace='robot_1', output='both')
    standalone = IncludeLaunchDescription(
        STANDALONE,
        launch_arguments={'namespace': 'robot_1', 'bundle': str(MODELS / 'v2'), 'model_name': 'label-reader', 'model_version': '2'}.items(),
    )
    return LaunchDescription([*router(), camera, standalone, launch_testing.actions.ReadyToTest()])


def process_of_inference(proc_info):
    """The newest, since it may have been started again."""
    found = [process for process in proc_info.processes() if 'inference_node' in process.process_details['name']]
    return found[-1].process_details['pid']


class Serving(unittest.TestCase):
    def test_frames_become_results_of_the_model_that_was_named(self, proc_info):
        with listener() as listening:
            status = listening.subscribe(DeploymentStatus, '/robot_1/inference_node/status', LATCHED)
            results = listening.subscribe(InferenceResult, '/robot_1/inference_node/result')
            active = listening.until(lambda: [s for s in status if s.status == DeploymentStatus.ACTIVE], 'an active model')[-1]
            self.assertEqual((active.model_name, active.model_version), ('label-reader', '2'))
            listening.until(lambda: len(results) >= 40, 'forty results')
            self.assertEqual({result.model_digest for result in results}, {active.digest})
            self.assertTrue(all(result.label in '0123456789' and result.score > 0 for result in results))

            # As a crash would.
            os.kill(process_of_inference(proc_info), signal.SIGKILL)
            newest = results[-1].header.stamp
            status.clear()
            listening.until(lambda: [s for s in status if s.status == DeploymentStatus.ACTIVE], 'the node to come back')
            after = lambda result: (result.header.stamp.sec, result.header.stamp.nanosec) > (newest.sec, newest.nanosec)  # noqa: E731
            listening.until(lambda: sum(map(after, results)) >= 20, 'results of the new process')


@launch_testing.post_shutdown_test()
class Ended(unittest.TestCase):
    def test_every_process_ended_when_told_to(self, proc_info):
        codes = {name: proc_info[name].returncode for name in proc_info.process_names()}
        self.assertGreaterEqual(len(codes), 2, codes)
        for name, code in codes.items():
            # Of a process that was started again, launch keeps how it ended first or last.
            self.assertIn(code, [0, -signal.SIGKILL] if 'inference_node' in name else [0], codes)
