//! `bridge_node`: carries what matters between this robot and its control plane.

use anyhow::Context as _;
use edgeflow_bridge::{Bridge, Config};
use edgeflow_ros::Node;

const USAGE: &str = "\
bridge_node: keeps what happens on this robot in a log, and carries it to the control plane whenever there is a link

usage: bridge_node [--help] [--ros-args -p NAME:=VALUE -r FROM:=TO --params-file FILE -r __ns:=NAMESPACE --log-level LEVEL]

for instance: bridge_node --ros-args -r __ns:=/robot_1 -p robot:=robot-1 -p data_dir:=/var/lib/edgeflow -p identity_dir:=/etc/edgeflow/identity

topics     ~/status (latched), /diagnostics; in: what the telemetry policy allows, inference_node/result, inference_node/drift, inference_node/status, evaluation, mission
parameters
  robot             its name in the control plane: lower-case letters, digits, dashes            (the certificate's)
  data_dir          folder of the log, the desired state and the models; survives a restart      (required)
  identity_dir      folder that `edgeflow enroll` made: TLS with the robot's certificate          (this or token_file)
  token_file        file with the robot's token, where the control plane is on this machine
  uplinks           ways to the control plane, the most preferred first: mqtt, zenoh, http       ([mqtt, http])
  mqtt              host:port of the control plane's broker                                      (127.0.0.1:1883)
  http              address of the control plane, https:// with identity_dir                     (http://127.0.0.1:5000)
  zenoh             host:port of the control plane's zenoh router                                (127.0.0.1:7448)
  bandwidth_kbps    most kilobits per second that are sent upwards; 0: no cap                    (0)
  inference_node    whose topics and services are used                                           (inference_node)
  summary_period_s  seconds between two inference summaries                                      (5.0)
  drift_period_s    seconds for which drift windows are summed up while no verdict changes; 0: never  (60.0)
  log_budget_mb     most megabytes of entries the log keeps                                      (256)
  log_max_age_h     hours after which summaries and details are given up; 0: never               (72.0)
  command_services  services that the control plane may have called, such as [reset, gripper/*]   (none)
  command_topics    topics that the control plane may have published on                          (none)
  capture_topics    topics that a telemetry policy may have captured                              (none)
  capture_memory_mb  most megabytes of messages that it may have kept in memory                   (64)
  capture_budget_mb  most megabytes of captures that wait to be uploaded                          (256)
  live_from_robot   topics that operators may have forwarded to them live, such as [camera/**]    (none)
  live_to_robot     topics on which operators may publish live                                   (none)
  live_max_kbps     most kilobits per second of all live sessions, in each direction             (4000)
  survival_cpu_percent  processors busier than this: detail, then summary is given up; 0: never  (0.0)
  survival_memory_mb    the same when less memory is left                                        (32)
  survival_disk_mb      the same when data_dir has less room                                     (64)
  local_socket      Unix socket of the local API; empty: bridge.sock in data_dir
  local_http_port   port of the local API on 127.0.0.1; 0: none                                  (0)
";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    edgeflow_ros::program(USAGE, async |context, stop| {
        let node = Node::create(context, "bridge_node", "")?;
        let config = Config::declare(&node)?;
        let uplink = config.uplink().context("parameters uplinks, mqtt, zenoh and http")?;
        let bridge = Bridge::start(&node, &config, uplink)?;
        tracing::info!(robot = config.robot, uplinks = ?config.uplinks, mqtt = config.mqtt, http = config.http, data_dir = %config.data_dir.display(), "bridge is up");
        stop.await?;
        bridge.stop().await;
        anyhow::Ok(())
    })
    .await
}
