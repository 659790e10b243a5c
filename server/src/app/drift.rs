//! Drift: each robot's newest word on its inputs, and the windows behind it.

use edgeflow_core::{
    OrganisationId, Principal, TargetName,
    drift::{self, DriftReportsView, DriftView},
    drift_fleet::{self, FleetDriftView, RobotReport},
    entry::EntryFilter,
    principal::{Action, Resource},
};
use edgeflow_wire::{Content, EntryBody};

use crate::app::{App, AppError};

impl App {
    /// Drift over the fleet, by robot.
    pub async fn drift(&self, principal: &Principal) -> Result<Vec<DriftView>, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        let targets = self.stores.targets.targets(&principal.organisation, None, u32::MAX).await?;
        let names: Vec<TargetName> = targets.iter().map(|target| target.id.name.clone()).collect();
        let attested = self.stores.entries.attested(&principal.organisation, &names).await?;
        let newest = targets.iter().filter_map(|target| {
            let name = &target.id.name;
            attested.get(name).and_then(|attested| attested.drift()).map(|report| drift::view(name, report))
        });
        Ok(newest.collect())
    }

    /// What drifted of the fleet, by windows of robots that ended at most `max_age_us` ago: robots, sites or all of it.
    pub async fn fleet_drift(
        &self,
        principal: &Principal,
        model: Option<&str>,
        version: Option<&str>,
        max_age_us: i64,
    ) -> Result<FleetDriftView, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        let targets = self.stores.targets.targets(&principal.organisation, None, u32::MAX).await?;
        let names: Vec<TargetName> = targets.iter().map(|target| target.id.name.clone()).collect();
        let attested = self.stores.entries.attested(&principal.organisation, &names).await?;
        let since_us = self.now_us().saturating_sub(max_age_us);
        let report = |target| {
            let attested = attested.get(target)?;
            let report = attested.drift()?;
            let asked = model.is_none_or(|model| model == report.model) && version.is_none_or(|version| version == report.model_version);
            (asked && report.end_us.saturating_add(attested.behind_us()) >= since_us).then_some(report)
        };
        let reports = targets.iter().filter_map(|target| {
            let site = target.labels.get("site").map(String::as_str);
            report(&target.id.name).map(|report| RobotReport { robot: target.id.name.as_str(), site, report })
        });
        Ok(drift_fleet::verdict(&reports.collect::<Vec<_>>()))
    }

    /// A robot's newest drift windows, in full, newest first.
    pub async fn target_drift(&self, principal: &Principal, name: &TargetName, limit: u32) -> Result<DriftReportsView, AppError> {
        self.readable(principal, name).await?;
        let filter = EntryFilter { target: Some(name.clone()), kinds: vec!["drift_report".to_owned()], limit, ..EntryFilter::default() };
        let entries = self.stores.entries.entries(&principal.organisation, &filter).await?;
        let reports = entries.into_iter().filter_map(|entry| match entry.content {
            Content::Known(EntryBody::DriftReport(report)) => Some(report),
            _ => None,
        });
        let mut reports: Vec<_> = reports.collect();
        // A flag that changed travels in another class than the windows around it and may arrive before them.
        reports.sort_by_key(|report| std::cmp::Reverse(report.end_us));
        Ok(DriftReportsView { target: name.to_string(), reports })
    }

    /// The newest windows of these robots.
    pub(crate) async fn drift_views(&self, organisation: &OrganisationId, names: &[TargetName]) -> Result<Vec<DriftView>, AppError> {
        let attested = self.stores.entries.attested_of(organisation, names, &["drift_report"]).await?;
        Ok(attested.iter().filter_map(|(name, attested)| Some(drift::view(name, attested.drift()?))).collect())
    }
}
