//! What changed between what two robots said they ran, or one robot at two times.

use edgeflow_bundle::BASELINE_FILE;
use edgeflow_core::{
    OrganisationId, Principal, RobotId, SlotName, TargetName,
    audit::AuditRecord,
    lineage::{Interval, IntervalFilter},
    lineage_diff::{ActView, Approval, LineageDiff, LineageSide, MAX_ACTS, ToldBy, TrainedOn, act_on, said_of},
    model::ModelVersion,
    model_diff::{Background, diff},
    principal::{Action, Resource},
    provenance::{ProvenanceRun, Registered},
};

use crate::app::{App, AppError};

/// Acts that are looked through for those on one version.
const ACTS_READ: u32 = 1_000;
/// Lines of a rollout's history that are looked through for approvals, the newest.
const HISTORY_READ: u32 = 1_000;
/// Deployments that are looked through for the one behind an interval.
const DEPLOYMENTS_READ: u32 = 100;

/// Which robot, when.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The robot.
    pub target: TargetName,
    /// By its clock, microseconds since the Unix epoch; `None` is now.
    pub at_us: Option<i64>,
}

/// One side, and what the comparison needs of it.
struct Known {
    side: LineageSide,
    version: Option<(ModelVersion, bool)>,
    runs: Vec<ProvenanceRun>,
}

impl App {
    /// What changed between two moments, of one robot or of two.
    pub async fn diff_lineage(
        &self,
        principal: &Principal,
        slot: &SlotName,
        before: Moment,
        after: Moment,
    ) -> Result<LineageDiff, AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        let before = self.known(principal, slot, before).await?;
        let after = self.known(principal, slot, after).await?;
        let mut notes: Vec<String> = [&before, &after].into_iter().filter_map(unregistered).collect();
        let model = match (&before.version, &after.version) {
            (Some(first), Some(second)) => {
                let organisation = &principal.organisation;
                let (mut known, missing) = self.background_ever(organisation, first).await?;
                let (mut known_after, missing_after) = self.background_ever(organisation, second).await?;
                if let Some(missing) = missing.or(missing_after) {
                    notes.push(missing);
                    (known.baseline, known_after.baseline) = (None, None);
                }
                Some(diff((&first.0, &known), (&second.0, &known_after)))
            }
            _ => None,
        };
        let (aliases, stage) = said_of(before.version.as_ref().map(|one| &one.0), after.version.as_ref().map(|one| &one.0));
        let datasets = |known: &Known| known.runs.clone().into_iter().flat_map(|run| run.datasets).collect::<Vec<_>>();
        let digest = |known: &Known| known.side.attested.as_ref().map(|attested| attested.digest.clone());
        Ok(LineageDiff {
            slot: slot.to_string(),
            same: digest(&before) == digest(&after),
            trained_on: TrainedOn::of(datasets(&before).iter(), datasets(&after).iter()),
            before: before.side,
            after: after.side,
            model,
            aliases,
            stage,
            notes,
        })
    }

    async fn known(&self, principal: &Principal, slot: &SlotName, moment: Moment) -> Result<Known, AppError> {
        let robot = self.remembered(principal, &moment.target).await?;
        let filter = IntervalFilter::at(moment.at_us.unwrap_or(i64::MAX - 1));
        let intervals = self.stores.lineage.intervals(&robot, &filter).await?;
        let attested = intervals.into_iter().find(|interval| interval.slot == slot.as_str());
        let mut side = LineageSide {
            target: robot.name.to_string(),
            at_us: moment.at_us,
            confirmed: attested.as_ref().is_some_and(|attested| moment.at_us.is_none_or(|at_us| at_us <= attested.last_us)),
            attested: None,
            version: None,
            deployment: None,
            acts: Vec::new(),
        };
        let Some(attested) = attested else { return Ok(Known { side, version: None, runs: Vec::new() }) };
        side.deployment = self.told_by(&robot, &attested).await?;
        let version = self.version_of(&robot.organisation, &attested).await?;
        if let Some((version, deleted)) = &version {
            side.acts = self.acts_on(&robot.organisation, version).await?;
            side.version = Some(Registered::of(version, *deleted));
        }
        let runs = self.provenance(principal, &attested.digest).await?.runs;
        side.attested = Some(attested);
        Ok(Known { side, version, runs })
    }

    /// What a bundle is registered as: what the robot called it if that is one of them, else the newest that is still there, else the
    /// newest that was.
    async fn version_of(&self, organisation: &OrganisationId, attested: &Interval) -> Result<Option<(ModelVersion, bool)>, AppError> {
        let mut versions = self.stores.provenance.bundle_versions(organisation, &attested.digest).await?;
        let called = |(version, _): &(ModelVersion, bool)| {
            version.registered.model.as_str() == attested.model && version.version() == attested.version
        };
        let place = versions.iter().position(called).or_else(|| versions.iter().position(|(_, deleted)| !deleted));
        Ok(if versions.is_empty() { None } else { Some(versions.swap_remove(place.unwrap_or(0))) })
    }

    /// The deployment behind an interval: the one whose desired state the robot said it answered. Without its word, which a bundle that
    /// was there at a start has not, the newest one that had been made when the interval began.
    async fn told_by(&self, robot: &RobotId, attested: &Interval) -> Result<Option<ToldBy>, AppError> {
        let organisation = &robot.organisation;
        let deployments =
            self.stores.deployments.deployments_of(organisation, &attested.digest, Some(&robot.name), DEPLOYMENTS_READ).await?;
        let mut asked = deployments
            .iter()
            .filter(|deployment| deployment.slot.as_str() == attested.slot)
            .filter_map(|deployment| Some((deployment, deployment.asked.first()?)));
        let told = match self.stores.lineage.answered(robot, attested).await? {
            Some(answered) => asked.find(|(_, asked)| asked.version <= answered && asked.superseded_by.is_none_or(|by| answered < by)),
            None => asked.find(|(deployment, _)| deployment.created_at_us <= attested.from_us),
        };
        let Some((deployment, asked)) = told else { return Ok(None) };
        let history = match deployment.rollout {
            Some(rollout) => self.stores.rollouts.rollout_history(rollout, HISTORY_READ).await?,
            None => Vec::new(),
        };
        Ok(Some(ToldBy {
            id: deployment.id.to_string(),
            created_at_us: deployment.created_at_us,
            created_by: deployment.created_by.clone(),
            server_epoch: asked.version.server_epoch,
            generation: asked.version.generation,
            rollout: deployment.rollout.map(|id| id.to_string()),
            approvals: Approval::of(&history),
        }))
    }

    async fn acts_on(&self, organisation: &OrganisationId, version: &ModelVersion) -> Result<Vec<ActView>, AppError> {
        let model = format!("model/{}", version.registered.model);
        let own = format!("{model}/{}", version.number);
        let records = self.stores.audit.audit_of(organisation, &[own.clone(), model], ACTS_READ).await?;
        // A model of the same name may have been there before this one.
        let since_us = version.registered.created_at_us;
        let done = records.into_iter().filter(|record| record.outcome == "done" && record.at_us >= since_us);
        let of_version = |record: AuditRecord| {
            let on_version = record.resource == own;
            act_on(record, on_version, version.number)
        };
        let mut acts: Vec<ActView> = done.filter_map(of_version).take(MAX_ACTS).collect();
        acts.reverse();
        Ok(acts)
    }

    /// What is known of a version beside what was registered; and a note when its drift reference went with it.
    async fn background_ever(
        &self,
        organisation: &OrganisationId,
        (version, deleted): &(ModelVersion, bool),
    ) -> Result<(Background, Option<String>), AppError> {
        if !deleted {
            return Ok((self.background_of(organisation, version).await?, None));
        }
        let mut known = Background::default();
        self.run_background(organisation, version, &mut known).await?;
        let had = version.registered.bundle.iter().flat_map(|bundle| &bundle.files).any(|file| file.path == BASELINE_FILE);
        let note = || {
            format!(
                "{} {} was deleted, and its drift reference with it: drift references are not compared",
                version.registered.model, version.number
            )
        };
        Ok((known, had.then(note)))
    }
}

fn unregistered(known: &Known) -> Option<String> {
    let attested = known.side.attested.as_ref().filter(|_| known.version.is_none())?;
    Some(format!("{} is not registered here: what {} ran is known by its digest only", attested.digest, known.side.target))
}
