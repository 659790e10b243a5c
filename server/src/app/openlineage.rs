//! Lineage as OpenLineage events, in the order in which things happened here.

use edgeflow_core::{
    OrganisationId, Principal,
    logged_model::LoggedModel,
    openlineage::{Cursor, Events, Happening, Training},
    principal::{Action, Resource},
    provenance::PARENT_TAG,
    run::Run,
};
use serde_json::Value;
use std::collections::BTreeSet;

use crate::app::{App, AppError};

/// Events of one page, and where the next begins. It is the last one when it has fewer happenings than were asked for.
#[derive(Debug, Clone)]
pub struct LineageEvents {
    /// OpenLineage run events.
    pub events: Vec<Value>,
    /// Beyond them.
    pub next: Cursor,
    /// Whether there may be more already.
    pub more: bool,
}

impl App {
    /// What happened to lineage beyond a place, at most `limit` happenings. What is told of each is what is known now.
    pub async fn lineage_events(
        &self,
        principal: &Principal,
        namespace: &str,
        after: Cursor,
        limit: u32,
    ) -> Result<LineageEvents, AppError> {
        for action in [Action::ReadRun, Action::ReadModel, Action::ReadDeployment, Action::ReadTarget] {
            self.permit(principal, action, Resource::Organisation).await?;
        }
        let organisation = &principal.organisation;
        let maker = Events::new(namespace, organisation);
        let (mut next, mut room, mut events) = (after, limit, Vec::new());
        for (store, place) in self.stores.happenings.iter().zip(&mut next.0) {
            if room == 0 {
                break;
            }
            let found = store.happenings(organisation, *place, room).await?;
            room = room.saturating_sub(u32::try_from(found.len()).unwrap_or(u32::MAX));
            for (at, happening) in found {
                *place = at;
                self.tell(organisation, &maker, happening, &mut events).await?;
            }
        }
        Ok(LineageEvents { events, next, more: room == 0 })
    }

    /// How far somebody was told.
    pub(crate) async fn lineage_told(&self, name: &str) -> Result<Cursor, AppError> {
        let told = self.stores.told.told(name).await?;
        Ok(told.as_deref().map(str::parse).transpose()?.unwrap_or_default())
    }

    /// Notes it.
    pub(crate) async fn set_lineage_told(&self, name: &str, told: Cursor) -> Result<(), AppError> {
        Ok(self.stores.told.set_told(name, &told.to_string()).await?)
    }

    async fn tell(
        &self,
        organisation: &OrganisationId,
        maker: &Events,
        happening: Happening,
        events: &mut Vec<Value>,
    ) -> Result<(), AppError> {
        match happening {
            Happening::Run { run_id, status, at_us, began } => {
                // Runs are never removed, only marked.
                let Some(run) = self.stores.runs.run(organisation, &run_id).await? else { return Ok(()) };
                events.push(maker.training(&self.training(organisation, run).await?, status, at_us, began));
            }
            Happening::Registered(version, deleted) => {
                let model = match &version.registered.origin.model_id {
                    Some(id) => self.stores.logged_models.logged_model(organisation, id).await?,
                    None => None,
                };
                events.push(maker.registered(&version, deleted, model.as_ref()));
            }
            Happening::Deployed(deployment) => events.extend(maker.deployed(&deployment)),
            Happening::Served { id, target, interval, ended } => events.push(maker.served(id, &target, &interval, ended)),
        }
        Ok(())
    }

    async fn training(&self, organisation: &OrganisationId, run: Run) -> Result<Training, AppError> {
        let mut parent = None;
        if let Some(tag) = run.tags.iter().find(|tag| tag.key == PARENT_TAG)
            && let Some(found) = self.stores.runs.run(organisation, &tag.value).await?
        {
            parent = Some((found.info.id, self.experiment_name(organisation, found.info.experiment).await?));
        }
        let links = run.model_inputs.iter().chain(&run.model_outputs).map(|link| link.model_id.as_str());
        let made = self.stores.logged_models.logged_models_of(organisation, &run.info.id).await?;
        let mut models: Vec<LoggedModel> = made;
        for id in links.collect::<BTreeSet<_>>() {
            if models.iter().all(|model| model.id != id) {
                models.extend(self.stores.logged_models.logged_model(organisation, id).await?);
            }
        }
        let experiment = self.experiment_name(organisation, run.info.experiment).await?;
        Ok(Training { run, experiment, parent, models })
    }

    async fn experiment_name(&self, organisation: &OrganisationId, number: i64) -> Result<String, AppError> {
        let found = self.stores.experiments.experiment(organisation, number).await?;
        Ok(found.map_or_else(|| number.to_string(), |experiment| experiment.name))
    }
}
