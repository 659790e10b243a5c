//! The inference engine and its ROS 2 node.
