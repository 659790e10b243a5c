//! The simulated part of a robot as a ROS 2 node. See `edgeflow_sim::robot`.

use anyhow::{Context as _, Result};
use edgeflow_ros::{Context, Node};
use edgeflow_sim::camera::Camera;
use edgeflow_sim::robot::{Settings, SimRobot, Uplink};
use std::io::Write;

#[tokio::main]
async fn main() -> Result<()> {
    let context = Context::create()?;
    edgeflow_ros::init_tracing(&context);
    let node = Node::create(&context, "sim_robot", "")?;
    let settings = Settings::declare(&node)?;
    let camera = Camera::open(&settings.data_file, settings.seed)?;
    let robot = SimRobot::new(&node, &settings, camera)?;
    let uplink = Uplink::start(&node, &settings).await?;
    writeln!(std::io::stdout(), "{}", uplink.first_line()).context("could not print the first line")?;
    tokio::select! {
        outcome = robot.run() => outcome?,
        signal = edgeflow_ros::shutdown_signal() => signal.context("could not wait for signals")?,
    }
    drop(uplink);
    context.shutdown()?;
    Ok(())
}
