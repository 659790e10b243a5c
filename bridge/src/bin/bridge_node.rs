//! `bridge_node`: carries what matters between this robot and its control plane.

use anyhow::Context as _;
use edgeflow_bridge::{Bridge, Config};
use edgeflow_ros::{Context, Node};
use edgeflow_uplink::{Mqtt, MqttConfig};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let ros = Context::create()?;
    edgeflow_ros::init_tracing(&ros);
    if let Some(argument) = ros.non_ros_args().first() {
        anyhow::bail!("unknown argument {argument:?}: parameters are given as --ros-args -p name:=value");
    }
    let node = Node::create(&ros, "bridge_node", "")?;
    let config = Config::declare(&node)?;
    let uplink = Mqtt::new(MqttConfig::new(&config.mqtt, &config.robot, config.token.expose())).context("parameter mqtt")?;
    let bridge = Bridge::start(&node, &config, Box::new(uplink))?;
    tracing::info!(robot = config.robot, mqtt = config.mqtt, data_dir = %config.data_dir.display(), "bridge is up");
    edgeflow_ros::shutdown_signal().await?;
    bridge.stop().await;
    drop(node);
    ros.shutdown()?;
    Ok(())
}
