//! Models: made, described, renamed, searched, deleted.

use edgeflow_core::{
    ModelName, OrganisationId, Page, Principal,
    model::{Model, ModelChange, ModelVersion, ModelView, Tags, check_alias, check_tag},
    model_search,
    principal::{Action, Resource},
    search::{Filter, Order, SearchError},
};
use std::collections::BTreeMap;

use crate::app::{App, AppError};

/// A model to be made.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// Its name.
    pub name: ModelName,
    /// For people.
    pub description: String,
    /// What people note of it.
    pub tags: Tags,
}

const MAX_DESCRIPTION_BYTES: usize = 16 << 10;
/// Models read at a time for a search.
const READ_AT_ONCE: u32 = 1000;

impl App {
    /// Makes a model without versions.
    pub async fn create_model(&self, principal: &Principal, request: ModelRequest) -> Result<ModelView, AppError> {
        self.permit(principal, Action::WriteModel, Resource::Organisation).await?;
        check_description(&request.description)?;
        for (key, value) in &request.tags {
            check_tag(key, value)?;
        }
        let ModelRequest { name, description, tags } = request;
        let model = Model { description, tags, ..Model::new(name, self.now_us(), principal.who.to_string()) };
        self.stores.models.create_model(&principal.organisation, &model).await?;
        self.record(principal, Action::WriteModel, &format!("model/{}", model.name), serde_json::Value::Null).await;
        let shown = view(model, &[]);
        self.hub.send(&principal.organisation, "model", &shown);
        Ok(shown)
    }

    /// Models by name.
    pub async fn models(&self, principal: &Principal, after: Option<&str>, limit: u32) -> Result<Page<ModelView>, AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        let models = self.stores.models.models(&principal.organisation, after, limit + 1).await?;
        let page = Page::cut(models, limit, |model| model.name.to_string());
        let items = self.with_versions(&principal.organisation, page.items).await?;
        Ok(Page { items: items.into_iter().map(|(model, versions)| view(model, &versions)).collect(), next: page.next })
    }

    /// One model with its versions.
    pub async fn model(&self, principal: &Principal, name: &ModelName) -> Result<ModelView, AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        self.model_view(&principal.organisation, name).await
    }

    /// One model with its versions, newest first, as they are.
    pub async fn registered_model(&self, principal: &Principal, name: &ModelName) -> Result<(Model, Vec<ModelVersion>), AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        self.find_model(&principal.organisation, name).await
    }

    /// Models that a filter holds of, sorted, with their versions: those from `from` on, at most `limit`, and whether there are more.
    pub async fn search_models(
        &self,
        principal: &Principal,
        filter: &str,
        order: &[String],
        from: usize,
        limit: usize,
    ) -> Result<(Vec<(Model, Vec<ModelVersion>)>, bool), AppError> {
        self.permit(principal, Action::ReadModel, Resource::Organisation).await?;
        let filter = Filter::parse(filter, &model_search::MODELS).map_err(unreadable)?;
        let order = Order::parse_all(order, &model_search::MODELS).map_err(unreadable)?;
        let mut all: Vec<Model> = Vec::new();
        loop {
            let after = all.last().map(|model| model.name.to_string());
            let page = self.stores.models.models(&principal.organisation, after.as_deref(), READ_AT_ONCE).await?;
            let last = page.len() < READ_AT_ONCE as usize;
            all.extend(page);
            if last {
                break;
            }
        }
        let found = model_search::models(all, &filter, &order);
        let more = found.len() > from.saturating_add(limit);
        let page = found.into_iter().skip(from).take(limit).collect();
        Ok((self.with_versions(&principal.organisation, page).await?, more))
    }

    /// Changes what is said about a model.
    pub async fn change_model(&self, principal: &Principal, name: &ModelName, change: ModelChange) -> Result<ModelView, AppError> {
        self.permit(principal, Action::WriteModel, Resource::Organisation).await?;
        let detail = match &change {
            ModelChange::Description(description) => {
                check_description(description)?;
                serde_json::json!({ "description": description })
            }
            ModelChange::Name(new) => serde_json::json!({ "name": new }),
            ModelChange::Tag(key, value) => {
                check_tag(key, value.as_deref().unwrap_or_default())?;
                serde_json::json!({ "tag": key, "value": value })
            }
            ModelChange::Alias(alias, number) => {
                if number.is_some() {
                    check_alias(alias)?;
                }
                serde_json::json!({ "alias": alias, "version": number.map(|number| number.to_string()) })
            }
        };
        // A robot's document says what a model is called: it stays true.
        if let ModelChange::Name(new) = &change
            && new != name
        {
            let _telling = self.telling.write().await;
            self.refuse_if_told(&principal.organisation, name, None, "renamed").await?;
            self.stores.models.change_model(&principal.organisation, name, &change, self.now_us()).await?;
        } else {
            self.stores.models.change_model(&principal.organisation, name, &change, self.now_us()).await?;
        }
        self.record(principal, Action::WriteModel, &format!("model/{name}"), detail).await;
        let name = if let ModelChange::Name(new) = &change { new } else { name };
        let shown = self.model_view(&principal.organisation, name).await?;
        self.hub.send(&principal.organisation, "model", &shown);
        Ok(shown)
    }

    /// Deletes a model with its versions. Refused while a robot is told to run one of them.
    pub async fn delete_model(&self, principal: &Principal, name: &ModelName) -> Result<(), AppError> {
        self.permit(principal, Action::WriteModel, Resource::Organisation).await?;
        let _telling = self.telling.write().await;
        self.refuse_if_told(&principal.organisation, name, None, "deleted").await?;
        self.stores.models.delete_model(&principal.organisation, name, self.now_us()).await?;
        self.record(principal, Action::WriteModel, &format!("model/{name}"), serde_json::json!({ "deleted": true })).await;
        Ok(())
    }

    /// An error that names robots which are told to run a version of the model (`None`: any).
    pub(crate) async fn refuse_if_told(
        &self,
        organisation: &OrganisationId,
        model: &ModelName,
        number: Option<u64>,
        what: &str,
    ) -> Result<(), AppError> {
        const NAMED: u32 = 5;
        let numbers = match number {
            Some(number) => vec![number],
            None => self.stores.models.model_versions(organisation, Some(model)).await?.iter().map(|version| version.number).collect(),
        };
        let fleet = self.fleet_now(organisation).await?;
        for number in numbers {
            let declares = |spec: &edgeflow_wire::SlotSpec| spec.model == model.as_str() && spec.version == number.to_string();
            if let Some(now) = fleet.as_ref().filter(|now| now.resolved.values().any(declares)) {
                let revision = now.head.revision;
                return Err(AppError::InUse(format!(
                    "version {number} of {model} is what revision {revision} of the fleet declares, so it cannot be {what}: declare another \
                     version first"
                )));
            }
            let told = self.stores.targets.targets_told(organisation, model.as_str(), &number.to_string(), NAMED).await?;
            if !told.is_empty() {
                let robots = told.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let more = if told.len() == NAMED as usize { " and perhaps others" } else { "" };
                return Err(AppError::InUse(format!(
                    "version {number} of {model} is what {robots}{more} shall run, so it cannot be {what}: deploy another version there first"
                )));
            }
        }
        Ok(())
    }

    async fn with_versions(&self, organisation: &OrganisationId, models: Vec<Model>) -> Result<Vec<(Model, Vec<ModelVersion>)>, AppError> {
        let mut found = Vec::with_capacity(models.len());
        for model in models {
            let versions = self.stores.models.model_versions(organisation, Some(&model.name)).await?;
            found.push((model, versions));
        }
        Ok(found)
    }

    pub(crate) async fn find_model(&self, organisation: &OrganisationId, name: &ModelName) -> Result<(Model, Vec<ModelVersion>), AppError> {
        let model = self.stores.models.model(organisation, name).await?;
        let model = model.ok_or_else(|| AppError::NotFound { what: "model", name: name.to_string() })?;
        let versions = self.stores.models.model_versions(organisation, Some(name)).await?;
        Ok((model, versions))
    }

    pub(crate) async fn model_view(&self, organisation: &OrganisationId, name: &ModelName) -> Result<ModelView, AppError> {
        let (model, versions) = self.find_model(organisation, name).await?;
        Ok(view(model, &versions))
    }
}

pub(crate) fn check_description(description: &str) -> Result<(), AppError> {
    if description.len() > MAX_DESCRIPTION_BYTES {
        return Err(AppError::TooLarge { what: "the description".to_owned(), limit_bytes: MAX_DESCRIPTION_BYTES as u64 });
    }
    Ok(())
}

pub(crate) fn unreadable(error: SearchError) -> AppError {
    AppError::Invalid(error.to_string())
}

fn view(model: Model, versions: &[ModelVersion]) -> ModelView {
    ModelView {
        name: model.name.to_string(),
        description: model.description,
        tags: model.tags,
        aliases: model.aliases.into_iter().map(|(alias, number)| (alias, number.to_string())).collect::<BTreeMap<_, _>>(),
        created_at_us: model.created_at_us,
        created_by: model.created_by,
        updated_at_us: model.updated_at_us,
        versions: versions.iter().map(ModelVersion::view).collect(),
    }
}
