"""RViz with one robot's camera and drift."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare


def generate_launch_description():
    return LaunchDescription([
        DeclareLaunchArgument("namespace", default_value="", description="Namespace of the robot, for instance robot_1."),
        DeclareLaunchArgument("image_topic", default_value="camera/image", description="Its camera, relative to the namespace."),
        DeclareLaunchArgument("odom_topic", default_value="odom", description="Its odometry, relative to the namespace."),
        DeclareLaunchArgument("use_sim_time", default_value="false", description="Use the time of /clock."),
        Node(
            package="rviz2",
            executable="rviz2",
            namespace=LaunchConfiguration("namespace"),
            arguments=["-d", PathJoinSubstitution([FindPackageShare("edgeflow_rviz"), "displays", "robot.rviz"])],
            parameters=[{"use_sim_time": LaunchConfiguration("use_sim_time")}],
            # The displays name their topics relative to RViz's own namespace.
            remappings=[("camera/image", LaunchConfiguration("image_topic")), ("odom", LaunchConfiguration("odom_topic"))],
            output="screen",
        ),
    ])
