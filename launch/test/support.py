"""What the launch tests share: a ROS node that waits for what it is told to wait for."""

import os
import socket
import sys
import time
from contextlib import contextmanager

import rclpy
from launch_ros.actions import Node
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile

# Nothing here takes this long; a test that waits longer has failed.
PATIENCE_S = 60.0
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def router():
    """The router that rmw_zenoh_cpp needs, unless one runs."""
    if os.environ.get('RMW_IMPLEMENTATION') != 'rmw_zenoh_cpp':
        return []
    with socket.socket() as probe:
        if probe.connect_ex(('127.0.0.1', 7447)) == 0:
            return []
    # On loopback alone.
    environment = {'ZENOH_CONFIG_OVERRIDE': 'listen/endpoints=["tcp/127.0.0.1:7447"]'}
    return [Node(package='rmw_zenoh_cpp', executable='rmw_zenohd', additional_env=environment)]


class Listener:
    """A node beside those under test."""

    def __init__(self):
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('listener', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def subscribe(self, message_type, topic, qos=10):
        """A list that grows with what is heard."""
        heard = []
        self.node.create_subscription(message_type, topic, heard.append, qos)
        return heard

    def until(self, condition, what):
        """Spins until it holds, and returns what held."""
        deadline = time.monotonic() + PATIENCE_S
        while not (held := condition()):
            assert time.monotonic() < deadline, f'in vain: {what}'
            self.executor.spin_once(timeout_sec=0.1)
        return held

    def call(self, service_type, name, request):
        client = self.node.create_client(service_type, name)
        self.until(client.service_is_ready, f'service {name}')
        future = client.call_async(request)
        self.until(future.done, f'an answer of {name}')
        return future.result()

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        try:
            rclpy.shutdown(context=self.context)
        except RuntimeError as error:
            # rmw_zenoh_cpp gives up on closing a session after ten seconds. This one is ours, not of a node under test.
            print(f'the listener has not left in time: {error}', file=sys.stderr)


@contextmanager
def listener():
    listening = Listener()
    try:
        yield listening
    finally:
        listening.close()
