//! Lineage as a graph around a robot, a bundle or a dataset, of a bounded size.
//!
//! It is drawn inside out: what was asked about, then what it was made from and what was made of it, and robots last, which are the
//! many. What does not fit is left out, and the graph says so.

use edgeflow_core::{
    OrganisationId, Principal, SlotName, TargetName,
    lineage::IntervalFilter,
    lineage_graph::{LineageGraph, Sketch},
    principal::{Action, Resource},
    provenance::{MAX_RUNS, Registered},
    run::Run,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::app::{App, AppError, lineage::digest_of};

/// Runs that were read, by their ids.
type Runs = HashMap<String, Option<Arc<Run>>>;

/// What a graph is about.
#[derive(Debug, Clone)]
pub enum About {
    /// What a robot runs, in one slot or in all.
    Robot(TargetName, Option<SlotName>),
    /// A bundle.
    Bundle(String),
    /// A dataset.
    Dataset(String),
}

impl App {
    /// Lineage around something, as it was at a moment (by each robot's clock; ours for what was done here), or as it is.
    pub async fn lineage_graph(
        &self,
        principal: &Principal,
        about: &About,
        at_us: Option<i64>,
        most: u32,
    ) -> Result<LineageGraph, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        let organisation = &principal.organisation;
        let mut sketch = Sketch::new(most as usize);
        let mut known = Runs::new();
        let versions = match about {
            About::Robot(name, slot) => {
                let robot = self.remembered(principal, name).await?;
                let intervals = self.stores.lineage.intervals(&robot, &IntervalFilter::at(at_us.unwrap_or(i64::MAX - 1))).await?;
                if let Some(id) = sketch.robot(name.as_str()) {
                    sketch.center(&id);
                }
                let of_slot = |asked: &str| slot.as_ref().is_none_or(|slot| slot.as_str() == asked);
                let digests: BTreeSet<String> = intervals.into_iter().filter(|one| of_slot(&one.slot)).map(|one| one.digest).collect();
                self.stores.provenance.registered(organisation, &digests.into_iter().collect::<Vec<_>>()).await?
            }
            About::Bundle(digest) => self.stores.provenance.registered(organisation, &[digest_of(digest)?]).await?,
            About::Dataset(digest) => {
                let mut runs = self.stores.provenance.trained_on(organisation, digest, most + 1).await?;
                if runs.len() > most as usize {
                    sketch.truncate();
                    runs.truncate(most as usize);
                }
                let runs = self.runs_until(organisation, &mut known, runs, at_us).await?;
                for run in &runs {
                    sketch.dataset_of(run, digest);
                }
                for run in &runs {
                    sketch.run(run);
                }
                for run in &runs {
                    sketch.links(run);
                }
                self.stores.provenance.made_from(organisation, digest).await?
            }
        };
        let versions: Vec<Registered> =
            versions.into_iter().filter(|version| at_us.is_none_or(|at_us| version.created_at_us <= at_us)).collect();
        let mut drawn = Vec::new();
        for version in &versions {
            let Some(id) = sketch.version(version) else { break };
            if matches!(about, About::Bundle(_)) {
                sketch.center(&id);
            }
            drawn.push((id, version));
        }
        for (_, version) in &drawn {
            if sketch.is_full() {
                sketch.truncate();
                break;
            }
            self.draw_origin(organisation, (&mut sketch, &mut known), version, at_us).await?;
        }
        for (id, version) in &drawn {
            self.draw_robots(organisation, &mut sketch, (id, version), at_us, most).await?;
            if sketch.is_full() {
                break;
            }
        }
        Ok(sketch.finish())
    }

    /// Runs that had begun; each is read once for a graph, though many versions may come from it.
    async fn runs_until(
        &self,
        organisation: &OrganisationId,
        known: &mut Runs,
        ids: Vec<String>,
        at_us: Option<i64>,
    ) -> Result<Vec<Arc<Run>>, AppError> {
        let mut runs = Vec::new();
        for id in ids {
            let run = match known.get(&id) {
                Some(run) => run.clone(),
                None => {
                    let run = self.stores.runs.run(organisation, &id).await?.map(Arc::new);
                    known.insert(id, run.clone());
                    run
                }
            };
            runs.extend(run.filter(|run| at_us.is_none_or(|at_us| run.info.start_ms.saturating_mul(1_000) <= at_us)));
        }
        Ok(runs)
    }

    /// Runs that led to a version, with their datasets and logged models.
    async fn draw_origin(
        &self,
        organisation: &OrganisationId,
        (sketch, known): (&mut Sketch, &mut Runs),
        version: &Registered,
        at_us: Option<i64>,
    ) -> Result<(), AppError> {
        let mut runs = Vec::new();
        if let Some(made_by) = &version.run_id {
            let ancestors = self.stores.provenance.ancestors(organisation, made_by, MAX_RUNS + 1).await?;
            if ancestors.len() > MAX_RUNS as usize {
                sketch.truncate();
            }
            runs = self.runs_until(organisation, known, ancestors.into_iter().map(|(id, _)| id).collect(), at_us).await?;
        }
        for run in &runs {
            sketch.run(run);
        }
        let links = runs.iter().flat_map(|run| run.model_inputs.iter().chain(&run.model_outputs)).map(|link| link.model_id.as_str());
        let models: BTreeSet<&str> = links.chain(version.model_id.as_deref()).collect();
        for model in models {
            let found = self.stores.logged_models.logged_model(organisation, model).await?;
            if let Some(model) = found.filter(|model| at_us.is_none_or(|at_us| model.created_ms.saturating_mul(1_000) <= at_us)) {
                sketch.logged_model(&model);
            }
        }
        for run in &runs {
            sketch.links(run);
        }
        sketch.registered(version);
        Ok(())
    }

    /// Robots that ran a version, those that were told to, and by which deployment.
    async fn draw_robots(
        &self,
        organisation: &OrganisationId,
        sketch: &mut Sketch,
        (id, version): (&str, &Registered),
        at_us: Option<i64>,
        most: u32,
    ) -> Result<(), AppError> {
        let Some(digest) = &version.digest else { return Ok(()) };
        let deployments = self.stores.deployments.deployments_of(organisation, digest, None, most).await?;
        let named: usize = deployments.iter().map(|deployment| deployment.asked.len()).sum();
        if named >= most as usize {
            sketch.truncate();
        }
        // One bundle may be registered under several names: the deployment says which.
        let of_version = |one: &&edgeflow_core::deployment::Deployment| {
            one.model.as_str() == version.model && one.version == version.version && at_us.is_none_or(|at_us| one.created_at_us <= at_us)
        };
        for deployment in deployments.iter().filter(of_version) {
            sketch.deployment(deployment, id);
        }
        let robots = self.stores.lineage.ran(organisation, digest, at_us, 0, most + 1).await?;
        if robots.len() > most as usize {
            sketch.truncate();
        }
        for (_, ran) in robots.iter().take(most as usize) {
            sketch.ran(id, ran);
        }
        for deployment in deployments.iter().filter(of_version) {
            sketch.told(deployment);
        }
        Ok(())
    }
}
