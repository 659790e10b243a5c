"""The demo: robots are let in, a model is registered and deployed, and comes to them over the control plane."""

import os
import shutil
import socket
import sys
import tempfile
import unittest
from pathlib import Path

import launch_testing
import launch_testing.actions
from edgeflow_msgs.msg import DeploymentStatus, InferenceResult, UplinkStatus
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription

sys.path.insert(0, str(Path(__file__).parent))
from support import LATCHED, listener, router  # noqa: E402

DEMO = str(Path(__file__).parent.parent / 'launch/demo.launch.py')
PATHS = [os.environ.get('EDGEFLOW_BIN_DIR', ''), os.environ['PATH']]
SERVER, CLI = (shutil.which(program, path=os.pathsep.join(PATHS)) for program in ['edgeflow-server', 'edgeflow'])


def free_ports(count):
    sockets = [socket.create_server(('127.0.0.1', 0)) for _ in range(count)]
    ports = [str(s.getsockname()[1]) for s in sockets]
    for s in sockets:
        s.close()
    return ports


def generate_test_description():
    if not (SERVER and CLI):
        raise unittest.SkipTest('edgeflow-server and edgeflow are not on the PATH: `cargo build --release` in the checkout')
    port, mqtt_port = free_ports(2)
    demo = IncludeLaunchDescription(
        DEMO,
        launch_arguments={
            'robots': '2',
            'port': port,
            'mqtt_port': mqtt_port,
            'server': SERVER,
            'cli': CLI,
            'data_dir': tempfile.mkdtemp(prefix='edgeflow-launch-test-'),
        }.items(),
    )
    return LaunchDescription([*router(), demo, launch_testing.actions.ReadyToTest()])


class Deployed(unittest.TestCase):
    def test_each_robot_serves_the_model_that_was_deployed_to_it(self):
        with listener() as listening:
            for robot in ['robot_1', 'robot_2']:
                uplink = listening.subscribe(UplinkStatus, f'/{robot}/bridge_node/status', LATCHED)
                status = listening.subscribe(DeploymentStatus, f'/{robot}/inference_node/status', LATCHED)
                results = listening.subscribe(InferenceResult, f'/{robot}/inference_node/result')
                listening.until(lambda: uplink and uplink[-1].connected, f'the uplink of {robot}')
                active = listening.until(lambda: [s for s in status if s.status == DeploymentStatus.ACTIVE], f'a model on {robot}')
                self.assertEqual((active[-1].model_name, active[-1].model_version), ('label-reader', '1'))
                listening.until(lambda: len(results) >= 20, f'results of {robot}')
                self.assertEqual({result.model_digest for result in results}, {active[-1].digest})


@launch_testing.post_shutdown_test()
class Ended(unittest.TestCase):
    def test_every_process_ended_with_status_0(self, proc_info):
        self.assertGreaterEqual(len(proc_info.process_names()), 13, proc_info.process_names())
        launch_testing.asserts.assertExitCodes(proc_info)
