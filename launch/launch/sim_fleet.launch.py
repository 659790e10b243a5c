"""Simulated robots: each has a camera, missions, and everything that a real robot runs."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, GroupAction, IncludeLaunchDescription, OpaqueFunction
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare('edgeflow_launch')
ROS_HOME = EnvironmentVariable('ROS_HOME', default_value=[EnvironmentVariable('HOME'), '/.ros'])

# Passed on to robot.launch.py as they are.
ROBOT = ['bundle', 'model_name', 'model_version', 'http', 'mqtt', 'zenoh', 'bridge', 'markers', 'params_file', 'respawn', 'log_level']

ARGUMENTS = [
    DeclareLaunchArgument('robots', default_value='3', description='How many; they are called robot-1, robot-2, ...'),
    DeclareLaunchArgument('rate_hz', default_value='20.0', description='Frames per second of each camera.'),
    DeclareLaunchArgument(
        'bundle',
        default_value=PathJoinSubstitution([FindPackageShare('edgeflow_sim'), 'models', 'v1']),
        description='Folder with model.onnx, served from the start. Empty: wait for a model.',
    ),
    DeclareLaunchArgument('model_name', default_value='label-reader', description='Registry name of that model.'),
    DeclareLaunchArgument('model_version', default_value='1', description='Registry version of that model.'),
    DeclareLaunchArgument('bridge', default_value='false', description='Run the bridges to a control plane.'),
    DeclareLaunchArgument('markers', default_value='true', description='Publish drift as markers for RViz.'),
    DeclareLaunchArgument('http', default_value='', description='Control plane, for instance http://127.0.0.1:5000. Empty: as in the parameter file.'),
    DeclareLaunchArgument('mqtt', default_value='', description='Its MQTT broker, for instance 127.0.0.1:1883. Empty: as in the parameter file.'),
    DeclareLaunchArgument('zenoh', default_value='', description='Its zenoh router, for instance 127.0.0.1:7448. Empty: as in the parameter file.'),
    DeclareLaunchArgument(
        'data_dir', default_value=[ROS_HOME, '/edgeflow'], description='Folder with one folder for each robot: its token, edge log, models.'
    ),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution([SHARE, 'config', 'robot.yaml']),
        description='Parameters of the nodes. What is given as an argument wins over the file.',
    ),
    DeclareLaunchArgument('respawn', default_value='true', description='Start a node again when it ends by itself.'),
    DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, error or fatal.'),
]


def robot(number):
    name = f'robot-{number}'
    return GroupAction(
        # Scoped: what the include is given for one robot must not be what the next one finds.
        scoped=True,
        actions=[
            Node(
                package='edgeflow_sim',
                executable='sim_robot',
                name='sim_robot',
                namespace=f'robot_{number}',
                parameters=[
                    LaunchConfiguration('params_file'),
                    {'seed': number, 'rate_hz': ParameterValue(LaunchConfiguration('rate_hz'), value_type=float)},
                ],
                ros_arguments=['--log-level', LaunchConfiguration('log_level')],
                respawn=LaunchConfiguration('respawn'),
                respawn_delay=2.0,
                output='both',
            ),
            IncludeLaunchDescription(
                PathJoinSubstitution([SHARE, 'launch', 'robot.launch.py']),
                launch_arguments={
                    'robot': name,
                    'data_dir': [LaunchConfiguration('data_dir'), f'/{name}'],
                    **{argument: LaunchConfiguration(argument) for argument in ROBOT},
                }.items(),
            ),
        ],
    )


def fleet(context):
    return [robot(number) for number in range(1, int(LaunchConfiguration('robots').perform(context)) + 1)]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=fleet)])
