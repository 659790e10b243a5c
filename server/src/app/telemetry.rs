//! Telemetry: a robot's numbers as series.

use edgeflow_core::{
    Principal, TargetName,
    telemetry::{TelemetryView, unit},
};

use crate::app::{App, AppError};

impl App {
    /// The newest samples of a channel, oldest first.
    pub async fn telemetry(
        &self,
        principal: &Principal,
        name: &TargetName,
        channel: &str,
        since_us: i64,
        limit: u32,
    ) -> Result<TelemetryView, AppError> {
        let robot = self.readable(principal, name).await?;
        let points = self.stores.telemetry.samples(&robot, channel, since_us, limit).await?;
        Ok(TelemetryView { channel: channel.to_owned(), unit: unit(channel).to_owned(), points })
    }

    /// Channels a robot has samples of.
    pub async fn telemetry_channels(&self, principal: &Principal, name: &TargetName) -> Result<Vec<String>, AppError> {
        let robot = self.readable(principal, name).await?;
        Ok(self.stores.telemetry.channels(&robot).await?)
    }
}
