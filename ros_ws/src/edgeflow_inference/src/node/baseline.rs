//! `~/reset_drift` and `~/set_baseline`.

use edgeflow_drift::Baseline;
use edgeflow_ros::edgeflow_msgs::srv::{ResetDrift, SetBaseline};

use super::drift::Reference;
use super::services::Services;
use crate::{Error, Result};

impl Services {
    pub(super) fn reset_drift(&self, request: &ResetDrift::Request) -> ResetDrift::Response {
        match self.slots.get(&request.slot) {
            Ok(slot) => {
                slot.pipeline.reset_drift();
                tracing::info!(slot = %slot.name, "drift watch begins anew");
                ResetDrift::Response { success: true, message: String::new() }
            }
            Err(error) => ResetDrift::Response { success: false, message: error.to_string() },
        }
    }

    pub(super) async fn set_baseline(&self, request: SetBaseline::Request) -> SetBaseline::Response {
        match self.try_set_baseline(request).await {
            Ok(()) => SetBaseline::Response { success: true, message: String::new() },
            Err(error) => SetBaseline::Response { success: false, message: error.to_string() },
        }
    }

    async fn try_set_baseline(&self, request: SetBaseline::Request) -> Result<()> {
        let SetBaseline::Request { slot, baseline_path, baseline_json, learn_frames } = request;
        let slot = self.slots.get(&slot)?;
        let reference = match (baseline_path.as_str(), baseline_json.as_str(), learn_frames) {
            ("", "", frames) if frames > 0 => Reference::Learn(frames),
            ("", json, 0) if !json.is_empty() => Reference::Baseline(Baseline::from_json(json)?),
            (path, "", 0) if !path.is_empty() => {
                let read = tokio::fs::read_to_string(path).await;
                let json = read.map_err(|source| Error::Io { operation: format!("read the drift baseline {path}"), source })?;
                Reference::Baseline(Baseline::from_json(&json)?)
            }
            _ => return Err(Error::WhichBaseline),
        };
        slot.pipeline.set_drift(&*slot.engine.current()?, reference)?;
        tracing::info!(slot = %slot.name, "drift baseline set");
        Ok(())
    }
}
