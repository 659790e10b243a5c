//! `/models`: models, and what is said about them. Versions are in [`model_versions`](super::model_versions).

use axum::{Json, extract::State, http::StatusCode};
use edgeflow_core::{
    ModelName, Page,
    model::{ModelChange, ModelView, Tags},
};
use serde::Deserialize;

use crate::{
    app::ModelRequest,
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{At, Body, Named, PageQuery, Params, name},
    },
};

/// A model to be made.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateModelRequest {
    /// 1 to 250 bytes of any letters, digits, signs and spaces but `/`, `:` and backslash, without spaces around it.
    name: String,
    /// For people.
    #[serde(default)]
    description: String,
    /// What people note of it.
    #[serde(default)]
    tags: Tags,
}

/// What shall be said about a model; what is not given stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateModelRequest {
    /// Another name. Refused while a robot is told to run one of its versions.
    name: Option<String>,
    /// For people.
    description: Option<String>,
}

/// A value.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagRequest {
    /// The tag's value.
    pub(crate) value: String,
}

/// What an alias shall stand for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AliasRequest {
    /// A version's number.
    version: String,
}

/// Makes a model without versions.
#[utoipa::path(post, path = "/api/v1/models", tag = "models", request_body = CreateModelRequest, responses(
    (status = 201, body = ModelView), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn create(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Body(request): Body<CreateModelRequest>,
) -> Result<(StatusCode, Json<ModelView>), HttpError> {
    let request = ModelRequest { name: name(&request.name)?, description: request.description, tags: request.tags };
    Ok((StatusCode::CREATED, Json(shared.app.create_model(&who, request).await?)))
}

/// Models by name, with their versions.
#[utoipa::path(get, path = "/api/v1/models", tag = "models", params(PageQuery), responses((status = 200, body = Page<ModelView>)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<ModelView>>, HttpError> {
    Ok(Json(shared.app.models(&who, page.after.as_deref(), page.limit()?).await?))
}

/// One model with its versions, newest first.
#[utoipa::path(get, path = "/api/v1/models/{model}", tag = "models", params(("model" = String, Path)), responses(
    (status = 200, body = ModelView), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(model): Named<ModelName>,
) -> Result<Json<ModelView>, HttpError> {
    Ok(Json(shared.app.model(&who, &model).await?))
}

/// Describes or renames a model.
#[utoipa::path(patch, path = "/api/v1/models/{model}", tag = "models", params(("model" = String, Path)), request_body = UpdateModelRequest,
    responses((status = 200, body = ModelView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn update(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(model): Named<ModelName>,
    Body(request): Body<UpdateModelRequest>,
) -> Result<Json<ModelView>, HttpError> {
    let new = request.name.as_deref().map(name::<ModelName>).transpose()?;
    let mut shown = None;
    if let Some(description) = request.description {
        shown = Some(shared.app.change_model(&who, &model, ModelChange::Description(description)).await?);
    }
    if let Some(new) = new {
        shown = Some(shared.app.change_model(&who, &model, ModelChange::Name(new)).await?);
    }
    shown.map(Json).ok_or_else(|| HttpError::invalid("give a \"name\" or a \"description\""))
}

/// Deletes a model with its versions. Refused while a robot is told to run one of them.
#[utoipa::path(delete, path = "/api/v1/models/{model}", tag = "models", params(("model" = String, Path)), responses(
    (status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn delete(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(model): Named<ModelName>,
) -> Result<StatusCode, HttpError> {
    shared.app.delete_model(&who, &model).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a tag of a model.
#[utoipa::path(put, path = "/api/v1/models/{model}/tags/{key}", tag = "models", params(("model" = String, Path), ("key" = String, Path)),
    request_body = TagRequest, responses((status = 200, body = ModelView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn set_tag(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, key)): At<(String, String)>,
    Body(request): Body<TagRequest>,
) -> Result<Json<ModelView>, HttpError> {
    Ok(Json(shared.app.change_model(&who, &name(&model)?, ModelChange::Tag(key, Some(request.value))).await?))
}

/// Takes a tag of a model away, if it is there.
#[utoipa::path(delete, path = "/api/v1/models/{model}/tags/{key}", tag = "models", params(("model" = String, Path), ("key" = String, Path)),
    responses((status = 200, body = ModelView), (status = 404, body = ErrorBody)))]
pub(crate) async fn delete_tag(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, key)): At<(String, String)>,
) -> Result<Json<ModelView>, HttpError> {
    Ok(Json(shared.app.change_model(&who, &name(&model)?, ModelChange::Tag(key, None)).await?))
}

/// Says which version an alias stands for.
#[utoipa::path(put, path = "/api/v1/models/{model}/aliases/{alias}", tag = "models",
    params(("model" = String, Path), ("alias" = String, Path)), request_body = AliasRequest,
    responses((status = 200, body = ModelView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn set_alias(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, alias)): At<(String, String)>,
    Body(request): Body<AliasRequest>,
) -> Result<Json<ModelView>, HttpError> {
    let model = name(&model)?;
    let number = shared.app.registered_version(&who, &model, &request.version).await?.number;
    Ok(Json(shared.app.change_model(&who, &model, ModelChange::Alias(alias, Some(number))).await?))
}

/// Takes an alias away, if it is there.
#[utoipa::path(delete, path = "/api/v1/models/{model}/aliases/{alias}", tag = "models",
    params(("model" = String, Path), ("alias" = String, Path)), responses((status = 200, body = ModelView), (status = 404, body = ErrorBody)))]
pub(crate) async fn delete_alias(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, alias)): At<(String, String)>,
) -> Result<Json<ModelView>, HttpError> {
    Ok(Json(shared.app.change_model(&who, &name(&model)?, ModelChange::Alias(alias, None)).await?))
}
