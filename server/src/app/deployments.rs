//! Deployments: they change desired state and never talk to a robot.

use edgeflow_core::{
    ModelName, OrganisationId, Page, Principal, SlotName, TargetName,
    deployment::{self, Deployment, DeploymentView, NewDeployment},
    principal::{Action, Resource},
};
use std::collections::{BTreeMap, BTreeSet};

use crate::app::{App, AppError};

/// A deployment to be made.
#[derive(Debug, Clone)]
pub struct DeploymentRequest {
    /// Which model.
    pub model: ModelName,
    /// Which version of it.
    pub version: String,
    /// Into which slot.
    pub slot: SlotName,
    /// On which robots.
    pub targets: Vec<TargetName>,
}

impl App {
    /// Declares that robots shall run a version. They converge at their own pace.
    pub async fn deploy(&self, principal: &Principal, request: DeploymentRequest) -> Result<DeploymentView, AppError> {
        self.permit(principal, Action::Deploy, Resource::Organisation).await?;
        let mut targets = request.targets;
        targets.sort();
        targets.dedup();
        if targets.is_empty() {
            return Err(AppError::Invalid("name at least one robot in \"targets\"".to_owned()));
        }
        let _telling = self.telling.read().await;
        let version = self.find_version(&principal.organisation, &request.model, &request.version).await?;
        let spec = version.slot_spec()?;
        self.refuse_deployment(principal, &targets, &spec, &request.slot).await?;
        let new = NewDeployment {
            version: version.version(),
            spec,
            model: request.model,
            slot: request.slot,
            targets,
            created_at_us: self.now_us(),
            created_by: principal.who.to_string(),
        };
        let made = self.stores.deployments.create_deployment(&principal.organisation, &new).await?;
        for asked in &made.asked {
            let robot = App::robot_id(&principal.organisation, &asked.target);
            // An error means that no door is open for robots; they will read it when one is.
            drop(self.desired.send(robot.clone()));
            self.presence.touch(&robot);
        }
        let detail = serde_json::json!({ "model": made.model, "version": made.version, "slot": made.slot, "targets": new.targets });
        self.record(principal, Action::Deploy, &format!("deployment/{}", made.id), detail).await;
        let shown = deployment::view(&made, &[], &BTreeMap::new());
        self.hub.send(&principal.organisation, "deployment", &shown);
        Ok(shown)
    }

    /// One deployment, as robots attest it.
    pub async fn deployment(&self, principal: &Principal, id: &str) -> Result<DeploymentView, AppError> {
        self.permit(principal, Action::ReadDeployment, Resource::Organisation).await?;
        let missing = || AppError::NotFound { what: "deployment", name: id.to_owned() };
        let number: i64 = id.parse().map_err(|_| missing())?;
        let found = self.stores.deployments.deployment(&principal.organisation, number).await?.ok_or_else(missing)?;
        self.deployment_views(&principal.organisation, &[found]).await?.pop().ok_or_else(missing)
    }

    /// Deployments, newest first: of one rollout, of none (`Some(0)`), or all.
    pub async fn deployments(
        &self,
        principal: &Principal,
        rollout: Option<i64>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<DeploymentView>, AppError> {
        self.permit(principal, Action::ReadDeployment, Resource::Organisation).await?;
        let found = self.stores.deployments.deployments(&principal.organisation, rollout, after, limit + 1).await?;
        let page = Page::cut(found, limit, |deployment| deployment.id.to_string());
        let items = self.deployment_views(&principal.organisation, &page.items).await?;
        Ok(Page { items, next: page.next })
    }

    /// The deployments that still stand for some of these robots, as shown; of rollouts, those tell themselves.
    pub(crate) async fn standing_views(
        &self,
        organisation: &OrganisationId,
        robots: &[TargetName],
    ) -> Result<Vec<DeploymentView>, AppError> {
        let standing: Vec<Deployment> = self.stores.deployments.standing_deployments(organisation, robots).await?;
        self.deployment_views(organisation, &standing).await
    }

    /// As robots attest them; of what not every robot can have, as they have said what they can.
    async fn deployment_views(&self, organisation: &OrganisationId, found: &[Deployment]) -> Result<Vec<DeploymentView>, AppError> {
        let attestations = self.stores.entries.attestations(organisation, found).await?;
        let special = found.iter().filter(|deployment| !deployment.kind.is_model());
        let asked: BTreeSet<&TargetName> = special.flat_map(|deployment| deployment.asked.iter().map(|asked| &asked.target)).collect();
        let asked: Vec<TargetName> = asked.into_iter().cloned().collect();
        let states = match asked.is_empty() {
            true => BTreeMap::new(),
            false => self.stores.entries.attested_of(organisation, &asked, &["state"]).await?,
        };
        Ok(found.iter().map(|found| deployment::view(found, &attestations, &states)).collect())
    }
}
