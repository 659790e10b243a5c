//! The durable log on the robot.
