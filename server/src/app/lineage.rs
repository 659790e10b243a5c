//! Lineage: what ran where, by the robots' own word.

use edgeflow_bundle::Digest;
use edgeflow_core::{
    Page, Principal, TargetName,
    lineage::{Interval, IntervalFilter, Ran},
    principal::{Action, Resource},
};

use crate::app::{App, AppError};

impl App {
    /// What a robot said it ran, the newest first.
    pub async fn intervals(&self, principal: &Principal, name: &TargetName, filter: &IntervalFilter) -> Result<Vec<Interval>, AppError> {
        let robot = self.readable(principal, name).await?;
        if filter.from_us >= filter.to_us {
            return Err(AppError::Invalid(format!("from_us {} is not before to_us {}", filter.from_us, filter.to_us)));
        }
        Ok(self.stores.lineage.intervals(&robot, filter).await?)
    }

    /// Robots that ever said they ran a bundle.
    pub async fn ran(&self, principal: &Principal, digest: &str, after: Option<i64>, limit: u32) -> Result<Page<Ran>, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
        let digest = Digest::from_hex(hex).map_err(|error| AppError::Invalid(error.to_string()))?.to_string();
        let mut rows = self.stores.lineage.ran(&principal.organisation, &digest, after.unwrap_or_default(), limit + 1).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|(cursor, _)| cursor.to_string());
        Ok(Page { items: rows.into_iter().map(|(_, ran)| ran).collect(), next })
    }
}
