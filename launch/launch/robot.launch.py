"""Everything of Edgeflow that runs on one robot: inference, the bridge to the control plane, drift markers."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import EnvironmentVariable, LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

SHARE = FindPackageShare('edgeflow_launch')
ROS_HOME = EnvironmentVariable('ROS_HOME', default_value=[EnvironmentVariable('HOME'), '/.ros'])

# Passed on to standalone.launch.py as they are.
INFERENCE = ['bundle', 'model_name', 'model_version', 'image_topic', 'params_file', 'autostart', 'use_sim_time', 'respawn', 'log_level']

ARGUMENTS = [
    DeclareLaunchArgument('robot', default_value='robot-1', description='Name of the robot in the control plane: a-z, 0-9, dashes.'),
    DeclareLaunchArgument('namespace', default_value='', description="Namespace of the nodes. Empty: the robot's name with underscores."),
    DeclareLaunchArgument('bundle', default_value='', description='Folder with model.onnx, served from the start. Empty: wait for a model.'),
    DeclareLaunchArgument('model_name', default_value='', description="Registry name of that model. Empty: the folder's name."),
    DeclareLaunchArgument('model_version', default_value='', description='Registry version of that model.'),
    DeclareLaunchArgument('image_topic', default_value='camera/image', description='Topic of the camera, sensor_msgs/Image.'),
    DeclareLaunchArgument('odom_topic', default_value='odom', description='Where the robot is, nav_msgs/Odometry, for the markers.'),
    DeclareLaunchArgument(
        'pose_topic', default_value='pose', description='Where the robot is, geometry_msgs/PoseStamped; preferred to odometry.'
    ),
    DeclareLaunchArgument('http', default_value='', description='Control plane, for instance http://127.0.0.1:5000. Empty: as in the parameter file.'),
    DeclareLaunchArgument('mqtt', default_value='', description='Its MQTT broker, for instance 127.0.0.1:1883. Empty: as in the parameter file.'),
    DeclareLaunchArgument('zenoh', default_value='', description='Its zenoh router, for instance 127.0.0.1:7448. Empty: as in the parameter file.'),
    DeclareLaunchArgument(
        'data_dir',
        default_value=[ROS_HOME, '/edgeflow/', LaunchConfiguration('robot')],
        description='Folder of the edge log and the models; it must survive a restart.',
    ),
    DeclareLaunchArgument(
        'identity_dir', default_value='', description='Folder that `edgeflow enroll` made: TLS with its certificate, and then no token_file.'
    ),
    DeclareLaunchArgument(
        'token_file', default_value=[LaunchConfiguration('data_dir'), '/token'], description="File with the robot's token for the control plane."
    ),
    DeclareLaunchArgument('bridge', default_value='true', description='Run the bridge to the control plane.'),
    DeclareLaunchArgument('markers', default_value='true', description='Publish drift as markers for RViz.'),
    DeclareLaunchArgument(
        'params_file',
        default_value=PathJoinSubstitution([SHARE, 'config', 'robot.yaml']),
        description='Parameters of the nodes. What is given as an argument wins over the file.',
    ),
    DeclareLaunchArgument(
        'autostart',
        default_value='',
        description='false: leave the lifecycle to `ros2 lifecycle` or a manager of yours. Empty: as in the parameter file.',
    ),
    DeclareLaunchArgument('use_sim_time', default_value='', description='true: time comes from /clock. Empty: as set elsewhere.'),
    DeclareLaunchArgument('respawn', default_value='true', description='Start a node again when it ends by itself.'),
    DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, error or fatal.'),
]


def nodes(context):
    def given(argument):
        return LaunchConfiguration(argument).perform(context)

    namespace = given('namespace') or given('robot').replace('-', '_')
    time = {'use_sim_time': ParameterValue(given('use_sim_time'), value_type=bool)} if given('use_sim_time') else {}
    # Only what was given: an empty argument must not hide what the file says.
    proof = 'identity_dir' if given('identity_dir') else 'token_file'
    uplink = {name: given(name) for name in ['robot', 'data_dir', proof, 'mqtt', 'http', 'zenoh']}
    uplink = {name: ParameterValue(value, value_type=str) for name, value in uplink.items() if value}
    common = {
        'namespace': namespace,
        'ros_arguments': ['--log-level', LaunchConfiguration('log_level')],
        'respawn': LaunchConfiguration('respawn'),
        'respawn_delay': 2.0,
        'output': 'both',
    }
    return [
        IncludeLaunchDescription(
            PathJoinSubstitution([SHARE, 'launch', 'standalone.launch.py']),
            launch_arguments={'namespace': namespace, **{name: LaunchConfiguration(name) for name in INFERENCE}}.items(),
        ),
        Node(
            package='edgeflow_bridge',
            executable='bridge_node',
            name='bridge_node',
            parameters=[LaunchConfiguration('params_file'), uplink | time],
            condition=IfCondition(LaunchConfiguration('bridge')),
            **common,
        ),
        Node(
            package='edgeflow_markers',
            executable='drift_markers_node',
            name='drift_markers_node',
            parameters=[LaunchConfiguration('params_file')] + ([time] if time else []),
            remappings=[
                ('drift', 'inference_node/drift'),
                ('odom', LaunchConfiguration('odom_topic')),
                ('pose', LaunchConfiguration('pose_topic')),
            ],
            condition=IfCondition(LaunchConfiguration('markers')),
            **common,
        ),
    ]


def generate_launch_description():
    return LaunchDescription([*ARGUMENTS, OpaqueFunction(function=nodes)])
