//! What robots report of how well they work, of many robots at once: what gates of rollouts look at.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, TargetName,
    observation::{Frames, RobotWindow, Source},
    rollout::Reported,
};
use std::collections::BTreeMap;

use crate::StoreError;

/// Reports of at most so many moments of a robot's window are told apart; those that come closer together are one.
pub const MOST_MOMENTS: i64 = 120;

/// Reports, filled by ingestion.
#[async_trait]
pub trait EvidenceStore: Send + Sync {
    /// Since when robots say they serve a digest in a slot, by their clocks. One that never did is not in the answer.
    async fn serving_since(
        &self,
        organisation: &OrganisationId,
        slot: &str,
        digest: &str,
        robots: &[TargetName],
    ) -> Result<BTreeMap<TargetName, i64>, StoreError>;

    /// When robots stamped their newest entries of each kind, and when those came: `(by their clock, by ours)`, microseconds since the
    /// Unix epoch. One that never said anything is not in the answer.
    async fn stamped_and_came(
        &self,
        organisation: &OrganisationId,
        robots: &[TargetName],
    ) -> Result<BTreeMap<TargetName, Vec<(i64, i64)>>, StoreError>;

    /// What robots reported of a metric, each in its window, in order of time: what is about those frames, wholly within the window. A
    /// window is cut into [`MOST_MOMENTS`]; what falls into one of them is one report, weighted by frames.
    async fn reported(
        &self,
        organisation: &OrganisationId,
        source: &Source,
        frames: &Frames,
        windows: &[RobotWindow],
    ) -> Result<BTreeMap<TargetName, Vec<Reported>>, StoreError>;
}
