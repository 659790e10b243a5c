"""The inference node alone: no control plane, no bridge."""

import os

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = [
    DeclareLaunchArgument('namespace', default_value='', description='Namespace of the node, for instance robot_1.'),
    DeclareLaunchArgument('bundle', default_value='', description='Folder with model.onnx, served from the start. Empty: wait for a model.'),
    DeclareLaunchArgument('model_name', default_value='', description="Registry name of that model. Empty: the folder's name."),
    DeclareLaunchArgument('model_version', default_value='', description='Registry version of that model.'),
    DeclareLaunchArgument('image_topic', default_value='camera/image', description='Topic of the camera, sensor_msgs/Image.'),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution([FindPackageShare('edgeflow_launch'), 'config', 'robot.yaml']),
        description='Parameters of the nodes. What is given as an argument wins over the file.',
    ),
    DeclareLaunchArgument(
        'autostart',
        default_value='',
        description='false: leave the lifecycle to `ros2 lifecycle` or a manager of yours. Empty: as in the parameter file.',
    ),
    DeclareLaunchArgument('use_sim_time', default_value='', description="true: time comes from /clock. Empty: as set elsewhere."),
    DeclareLaunchArgument('respawn', default_value='true', description='Start the node again when it ends by itself.'),
    DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, error or fatal.'),
]

# glibc keeps what a model's weights leave behind unless blocks of their size get mappings of their own: half of the memory after some
# swaps. What is set outside wins.
ALLOCATOR = {
    name: os.environ.get(name, value)
    for name, value in {'MALLOC_MMAP_THRESHOLD_': '4194304', 'MALLOC_TRIM_THRESHOLD_': '16777216'}.items()
}


def nodes(context):
    def given(argument):
        return LaunchConfiguration(argument).perform(context)

    # Only what was given: an empty argument must not hide what the file says.
    texts = {'bundle_path': given('bundle'), 'model_name': given('model_name'), 'model_version': given('model_version')}
    flags = {'autostart': given('autostart'), 'use_sim_time': given('use_sim_time')}
    parameters = {name: ParameterValue(value, value_type=str) for name, value in texts.items() if value}
    parameters |= {name: ParameterValue(value, value_type=bool) for name, value in flags.items() if value}
    return [
        # A plain node that configures and activates itself, rather than transitions sent from here: these would be sent once,
        # and a node that is started again would stay unconfigured.
        Node(
            package='edgeflow_inference',
            executable='inference_node',
            name='inference_node',
            namespace=LaunchConfiguration('namespace'),
            parameters=[LaunchConfiguration('params_file')] + ([parameters] if parameters else []),
            remappings=[('~/image', LaunchConfiguration('image_topic'))],
            ros_arguments=['--log-level', LaunchConfiguration('log_level')],
            respawn=LaunchConfiguration('respawn'),
            respawn_delay=2.0,
            additional_env=ALLOCATOR,
            output='both',
        )
    ]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
