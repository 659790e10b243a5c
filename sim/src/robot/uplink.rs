//! The robot's network to its control plane, and the service that cuts it.

use edgeflow_ros::Node;
use edgeflow_ros::edgeflow_msgs::srv::SetUplink;
use futures::StreamExt;
use std::net::SocketAddr;
use tokio::task::JoinHandle;

use super::Settings;
use crate::SimError;
use crate::proxy::{Link, Proxy};

/// The proxies of one robot behind one switch, served as `~/set_uplink`. Stops when dropped.
#[derive(Debug)]
pub struct Uplink {
    mqtt: Option<Proxy>,
    http: Option<Proxy>,
    zenoh: Option<Proxy>,
    serving: JoinHandle<()>,
}

impl Uplink {
    /// Starts a proxy for each door that the settings name, and serves the switch.
    pub async fn start(node: &Node, settings: &Settings) -> Result<Self, SimError> {
        let link = Link::new();
        let mqtt = proxy(&settings.uplink_mqtt, &link).await?;
        let http = proxy(&settings.uplink_http, &link).await?;
        let zenoh = proxy(&settings.uplink_zenoh, &link).await?;
        let requests = node.create_service::<SetUplink::Service>("~/set_uplink");
        let mut requests = requests.map_err(|source| SimError::Ros { action: "serve set_uplink".to_owned(), source })?;
        let serving = tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let connected = request.message.connected;
                if connected {
                    link.restore();
                } else {
                    link.cut().await;
                }
                tracing::info!(connected, "the uplink was switched");
                if let Err(error) = request.respond(SetUplink::Response { success: true, message: String::new() }) {
                    tracing::warn!(%error, "could not answer set_uplink");
                }
            }
        });
        Ok(Self { mqtt, http, zenoh, serving })
    }

    /// The line that tells whoever started the robot where its control plane is to be reached.
    pub fn first_line(&self) -> String {
        let address =
            |proxy: &Option<Proxy>| proxy.as_ref().map(Proxy::local_addr).map_or_else(|| "none".to_owned(), |a: SocketAddr| a.to_string());
        format!("sim_robot uplink mqtt={} http={} zenoh={}", address(&self.mqtt), address(&self.http), address(&self.zenoh))
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn proxy(upstream: &str, link: &Link) -> Result<Option<Proxy>, SimError> {
    if upstream.is_empty() { Ok(None) } else { Proxy::start(upstream.to_owned(), link).await.map(Some) }
}
