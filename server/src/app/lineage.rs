//! Lineage: what ran where, by the robots' own word, and where that comes from.

use edgeflow_bundle::Digest;
use edgeflow_core::{
    Page, Principal, TargetName,
    lineage::{Interval, IntervalFilter, Ran},
    principal::{Action, Resource},
    provenance::{self, Provenance, ProvenanceRun, Registered},
};

use crate::app::{App, AppError};

impl App {
    /// What a robot said it ran, the newest first.
    pub async fn intervals(&self, principal: &Principal, name: &TargetName, filter: &IntervalFilter) -> Result<Vec<Interval>, AppError> {
        let robot = self.remembered(principal, name).await?;
        if filter.from_us >= filter.to_us {
            return Err(AppError::Invalid(format!("from_us {} is not before to_us {}", filter.from_us, filter.to_us)));
        }
        Ok(self.stores.lineage.intervals(&robot, filter).await?)
    }

    /// Robots that ever said they ran a bundle.
    pub async fn ran(&self, principal: &Principal, digest: &str, after: Option<i64>, limit: u32) -> Result<Page<Ran>, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        let digest = digest_of(digest)?;
        let mut rows = self.stores.lineage.ran(&principal.organisation, &digest, None, after.unwrap_or_default(), limit + 1).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = rows.last().filter(|_| more).map(|(cursor, _)| cursor.to_string());
        Ok(Page { items: rows.into_iter().map(|(_, ran)| ran).collect(), next })
    }

    /// Where a bundle comes from: what it is registered as, the runs that led to it, and the datasets those took in.
    pub async fn provenance(&self, principal: &Principal, digest: &str) -> Result<Provenance, AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        let digest = digest_of(digest)?;
        let organisation = &principal.organisation;
        let versions = self.stores.provenance.registered(organisation, std::slice::from_ref(&digest)).await?;
        let mut runs: Vec<ProvenanceRun> = Vec::new();
        for made_by in versions.iter().filter_map(|version| version.run_id.as_deref()) {
            for (id, via) in self.stores.provenance.ancestors(organisation, made_by, provenance::MAX_RUNS).await? {
                if runs.len() < provenance::MAX_RUNS as usize
                    && runs.iter().all(|known| known.run_id != id)
                    && let Some(run) = self.stores.runs.run(organisation, &id).await?
                {
                    runs.push(ProvenanceRun::of(run, via));
                }
            }
        }
        Ok(Provenance { digest, versions, runs })
    }

    /// Versions that come from a dataset, however many runs lie between, oldest first.
    pub async fn made_from(&self, principal: &Principal, dataset_digest: &str) -> Result<Vec<Registered>, AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        Ok(self.stores.provenance.made_from(&principal.organisation, dataset_digest).await?)
    }

    /// Robots that ever said they ran a bundle that comes from a dataset, bundle after bundle. `after` is a place in that order.
    pub async fn ran_from(
        &self,
        principal: &Principal,
        dataset_digest: &str,
        after: Option<(usize, i64)>,
        limit: u32,
    ) -> Result<(Vec<(Registered, Ran)>, Option<(usize, i64)>), AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        let mut bundles: Vec<(String, Registered)> = Vec::new();
        for version in self.made_from(principal, dataset_digest).await? {
            if let Some(digest) = version.digest.clone()
                && bundles.iter().all(|(known, _)| *known != digest)
            {
                bundles.push((digest, version));
            }
        }
        let (first, mut cursor) = after.unwrap_or_default();
        let mut found = Vec::new();
        for (at, (digest, version)) in bundles.iter().enumerate().skip(first) {
            let room = limit as usize - found.len();
            let rows =
                self.stores.lineage.ran(&principal.organisation, digest, None, cursor, u32::try_from(room).unwrap_or(limit) + 1).await?;
            for (place, ran) in rows {
                if found.len() == limit as usize {
                    return Ok((found, Some((at, cursor))));
                }
                cursor = place;
                found.push((version.clone(), ran));
            }
            cursor = 0;
        }
        Ok((found, None))
    }
}

pub(crate) fn digest_of(text: &str) -> Result<String, AppError> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    Digest::from_hex(hex).map(|digest| digest.to_string()).map_err(|error| AppError::Invalid(error.to_string()))
}
