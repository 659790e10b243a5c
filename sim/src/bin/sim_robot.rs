//! The simulated part of a robot as a ROS 2 node. See `edgeflow_sim::robot`.

use anyhow::Context as _;
use edgeflow_ros::Node;
use edgeflow_sim::camera::Camera;
use edgeflow_sim::robot::{Settings, SimRobot, Uplink};
use std::io::Write;

const USAGE: &str = "\
sim_robot: a simulated robot that drives past handwritten labels with a camera

usage: sim_robot [--help] [--ros-args -p NAME:=VALUE -r FROM:=TO --params-file FILE -r __ns:=NAMESPACE --log-level LEVEL]

for instance: sim_robot --ros-args -r __ns:=/robot_1 -p rate_hz:=30.0

topics     camera/image, ground_truth, odom, mission, evaluation; in: inference_node/result
services   ~/set_camera, ~/set_uplink
parameters
  rate_hz                  frames per second                                            (20.0)
  streaming                whether the camera streams from the start                    (true)
  seed                     of what the camera sees and of its noise                     (1)
  data_file                digits to look at; empty: the built-in ones                  (\"\")
  frames_per_mission_step  frames between two mission events                            (30)
  uplink_mqtt, uplink_http, uplink_zenoh
                           control plane behind a network that can be cut; empty: none  (\"\")
";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    edgeflow_ros::program(USAGE, async |context, stop| {
        let node = Node::create(context, "sim_robot", "")?;
        let settings = Settings::declare(&node)?;
        let camera = Camera::open(&settings.data_file, settings.seed)?;
        let robot = SimRobot::new(&node, &settings, camera)?;
        let uplink = Uplink::start(&node, &settings).await?;
        writeln!(std::io::stdout(), "{}", uplink.first_line()).context("could not print the first line")?;
        tokio::select! {
            outcome = robot.run() => outcome?,
            signal = stop => signal.context("could not wait for signals")?,
        }
        drop(uplink);
        anyhow::Ok(())
    })
    .await
}
