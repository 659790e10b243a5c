//! ROS 2 through rcl (r2r).
