//! The door to ROS 2.
