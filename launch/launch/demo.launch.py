"""A control plane, and simulated robots that it knows, with a model registered and deployed to them."""

import os
import secrets
import tempfile

from launch import LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit, OnProcessIO
from launch.substitutions import FindExecutable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare('edgeflow_launch')

ARGUMENTS = [
    DeclareLaunchArgument('robots', default_value='3', description='How many; they are called robot-1, robot-2, ...'),
    DeclareLaunchArgument('rate_hz', default_value='20.0', description='Frames per second of each camera.'),
    DeclareLaunchArgument('port', default_value='5000', description='Port of the control plane: its pages and its API.'),
    DeclareLaunchArgument('mqtt_port', default_value='1883', description='Port where robots connect.'),
    DeclareLaunchArgument(
        'bundle',
        default_value=PathJoinSubstitution([FindPackageShare('edgeflow_sim'), 'models', 'v1']),
        description='Folder with model.onnx; registered as label-reader and deployed.',
    ),
    DeclareLaunchArgument('data_dir', default_value='', description='Folder for everything that is kept, new or empty. Empty: a temporary one.'),
    DeclareLaunchArgument('server', default_value=FindExecutable(name='edgeflow-server'), description='The control plane, a program.'),
    DeclareLaunchArgument('cli', default_value=FindExecutable(name='edgeflow'), description="Edgeflow's command line, a program."),
    DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, error or fatal.'),
]


def after(process, *actions):
    """Goes on when a command has succeeded, and ends everything when it has not."""

    def ended(event, _context):
        if event.returncode == 0:
            return list(actions)
        return [Shutdown(reason=f'`{" ".join(event.cmd)}` ended with {event.returncode}')]

    return RegisterEventHandler(OnProcessExit(target_action=process, on_exit=ended))


def demo(context):
    def given(argument):
        return LaunchConfiguration(argument).perform(context)

    data_dir = given('data_dir') or tempfile.mkdtemp(prefix='edgeflow-')
    robots = [f'robot-{number}' for number in range(1, int(given('robots')) + 1)]
    http, mqtt = f'http://127.0.0.1:{given("port")}', f'127.0.0.1:{given("mqtt_port")}'
    # In the environment: arguments can be read by every user of the machine.
    token = os.environ.get('EDGEFLOW_ADMIN_TOKEN') or secrets.token_hex(32)

    server = ExecuteProcess(
        cmd=[given('server'), '--data-dir', f'{data_dir}/server', '--listen', http.removeprefix('http://'), '--mqtt-listen', mqtt],
        additional_env={'EDGEFLOW_ADMIN_TOKEN': token, 'NO_COLOR': '1'},
        output='both',
        on_exit=Shutdown(reason='the control plane has ended'),
    )

    def edgeflow(*arguments):
        return ExecuteProcess(
            cmd=[given('cli'), *arguments], additional_env={'EDGEFLOW_URL': http, 'EDGEFLOW_TOKEN': token}, output='both'
        )

    enrolled = [edgeflow('targets', 'enrol', robot, '--token-file', f'{data_dir}/{robot}/token') for robot in robots]
    pushed = edgeflow('model', 'push', 'label-reader', given('bundle'))
    deployed = edgeflow('deploy', 'label-reader', '1', '--to', ','.join(robots))
    fleet = IncludeLaunchDescription(
        PathJoinSubstitution([SHARE, 'launch', 'sim_fleet.launch.py']),
        launch_arguments={
            'robots': given('robots'),
            'rate_hz': given('rate_hz'),
            # Robots begin without a model: it comes from the control plane.
            'bundle': '',
            'model_name': '',
            'model_version': '',
            'bridge': 'true',
            'http': http,
            'mqtt': mqtt,
            'data_dir': data_dir,
            'log_level': given('log_level'),
        }.items(),
    )

    # One after the other: the server listens, robots are let in, the model is registered and deployed, robots start.
    steps = [*enrolled, pushed, deployed]
    chain = [after(step, following) for step, following in zip(steps, steps[1:])]
    chain.append(after(deployed, fleet, LogInfo(msg=f'{http} shows the fleet; everything is kept in {data_dir}')))
    begun = []

    def listening(event):
        if begun or b'edgeflow-server listening on' not in event.text:
            return None
        begun.append(True)
        return [steps[0]]

    return [*chain, RegisterEventHandler(OnProcessIO(target_action=server, on_stdout=listening)), server]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=demo)])
