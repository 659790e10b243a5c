//! Telemetry: a robot's numbers as series.

use edgeflow_core::{
    Principal, TargetName,
    rollup::Resolution,
    telemetry::{KeptFrom, TelemetryView, unit},
};
use std::collections::BTreeMap;

use crate::app::{App, AppError};

/// Which part of a series, and how finely.
#[derive(Debug, Clone)]
pub struct TelemetryRequest {
    /// Which channel.
    pub channel: String,
    /// From this time on, microseconds since the Unix epoch; `None`: from its beginning.
    pub since_us: Option<i64>,
    /// The newest so many points.
    pub limit: u32,
    /// How finely; `None`: as finely as all since then is kept and fits into `limit`. Without `since_us` as finely as there is anything.
    pub resolution: Option<Resolution>,
}

impl App {
    /// A series, oldest first.
    pub async fn telemetry(&self, principal: &Principal, name: &TargetName, request: TelemetryRequest) -> Result<TelemetryView, AppError> {
        let robot = self.readable(principal, name).await?;
        let TelemetryRequest { channel, since_us, limit, resolution } = request;
        let (series, since) = (&self.stores.telemetry, since_us.unwrap_or(i64::MIN));
        let kept: KeptFrom = series.kept_from(&robot, &channel).await?;
        let unit = unit(&channel, &series.units(&robot).await?);
        // One more than asked for tells whether it is all.
        let fits = |resolution: Resolution, points: usize| match since_us {
            Some(since) => kept.reaches(resolution, since) && points <= limit as usize,
            None => points > 0,
        };
        if resolution.is_none_or(|asked| asked == Resolution::Raw) {
            let mut points = series.samples(&robot, &channel, since, limit + 1).await?;
            if resolution.is_some() || fits(Resolution::Raw, points.len()) {
                points.drain(..points.len().saturating_sub(limit as usize));
                return Ok(TelemetryView::raw(&channel, unit, points, kept));
            }
        }
        if resolution.is_none_or(|asked| asked == Resolution::Minute) {
            let mut rollups = series.rollups(&robot, &channel, Resolution::Minute, since, limit + 1).await?;
            if resolution.is_some() || fits(Resolution::Minute, rollups.len()) {
                rollups.drain(..rollups.len().saturating_sub(limit as usize));
                return Ok(TelemetryView::rolled_up(&channel, unit, Resolution::Minute, &rollups, kept));
            }
        }
        let rollups = series.rollups(&robot, &channel, Resolution::Hour, since, limit).await?;
        Ok(TelemetryView::rolled_up(&channel, unit, Resolution::Hour, &rollups, kept))
    }

    /// Channels a robot has numbers of, and the units of those that software on the robot named itself.
    pub async fn telemetry_channels(
        &self,
        principal: &Principal,
        name: &TargetName,
    ) -> Result<(Vec<String>, BTreeMap<String, String>), AppError> {
        let robot = self.readable(principal, name).await?;
        Ok((self.stores.telemetry.channels(&robot).await?, self.stores.telemetry.units(&robot).await?))
    }
}
