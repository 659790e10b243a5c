//! The control plane about itself.

use edgeflow_core::{
    Principal,
    principal::{Action, Resource},
    server::ServerView,
};
use std::net::SocketAddr;

use crate::app::{App, AppError, Metrics};

impl App {
    /// Says where robots connect, once that is known.
    pub fn set_mqtt_address(&self, address: SocketAddr) {
        if self.mqtt_address.set(address).is_err() {
            tracing::warn!("the address of the broker was set twice");
        }
    }

    /// Says where robots connect by zenoh.
    pub fn set_zenoh_address(&self, address: SocketAddr) {
        if self.zenoh_address.set(address).is_err() {
            tracing::warn!("the address of the zenoh router was set twice");
        }
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether the store answers.
    pub async fn healthy(&self) -> Result<(), AppError> {
        self.stores.server.admin_token_hash().await?;
        Ok(())
    }

    /// What the control plane says about itself.
    pub async fn server(&self, principal: &Principal) -> Result<ServerView, AppError> {
        self.permit(principal, Action::ReadServer, Resource::Organisation).await?;
        let identity = self.stores.server.identity(self.now_us()).await?;
        Ok(ServerView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            server_epoch: identity.server_epoch,
            mqtt_address: self.mqtt_address.get().map(SocketAddr::to_string),
            zenoh_address: self.zenoh_address.get().map(SocketAddr::to_string),
            started_at_us: self.started_at_us,
        })
    }
}
