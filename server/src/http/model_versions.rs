//! `/models/{model}/versions`: what was registered, and what is said about it.

use axum::{
    Json,
    extract::{Multipart, State, multipart::MultipartError},
    http::StatusCode,
};
use edgeflow_core::{
    ModelName,
    model::{ModelVersionView, Stage, VersionChange},
    model_diff::ModelDiff,
};
use edgeflow_wire::SlotKind;
use serde::Deserialize;

use crate::{
    app::{AppError, Upload},
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{At, Body, Named, Params, name},
        models::TagRequest,
    },
};

/// A bundle: parts named by its files, in any order, and optionally a `description`.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "describes the multipart body; the parts are streamed")]
pub(crate) struct RegisterForm {
    /// The graph with its weights.
    #[schema(rename = "model.onnx", value_type = String, format = Binary)]
    model_onnx: Vec<u8>,
    /// How a frame becomes the graph's input and what its output means.
    #[schema(rename = "edgeflow.yaml", value_type = Option<String>, format = Binary)]
    edgeflow_yaml: Option<Vec<u8>>,
    /// The drift reference.
    #[schema(rename = "baseline.json", value_type = Option<String>, format = Binary)]
    baseline_json: Option<Vec<u8>>,
    /// Inputs whose right outputs are known, which a robot checks before the model may serve.
    #[schema(rename = "golden.json", value_type = Option<String>, format = Binary)]
    golden_json: Option<Vec<u8>>,
    /// For people.
    description: Option<String>,
}

/// What is registered.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegisterQuery {
    /// `model` (default), `map`, `package` or `config`. What is no model has parts of any names, which are its files.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    kind: SlotKind,
}

/// What shall be said about a version; what is not given stays.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateVersionRequest {
    /// For people.
    description: Option<String>,
    /// `None`, `Staging`, `Production` or `Archived`.
    stage: Option<String>,
    /// With a stage: other versions that are in it become archived.
    #[serde(default)]
    archive_others: bool,
}

/// One version, by its number or `@` and an alias.
#[utoipa::path(get, path = "/api/v1/models/{model}/versions/{version}", tag = "models",
    params(("model" = String, Path), ("version" = String, Path)), responses(
    (status = 200, body = ModelVersionView), (status = 404, body = ErrorBody)))]
pub(crate) async fn get(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, version)): At<(String, String)>,
) -> Result<Json<ModelVersionView>, HttpError> {
    Ok(Json(shared.app.model_version(&who, &name(&model)?, &version).await?))
}

/// With what a version is compared.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiffQuery {
    /// The other version: its number, or `@` and an alias.
    with: String,
    /// Its model; the same one when not said.
    model: Option<String>,
}

/// What differs between two versions: schema, graph, files, labels; metrics, parameters, datasets and code of their runs; drift
/// references. The one in the path is the first.
#[utoipa::path(get, path = "/api/v1/models/{model}/versions/{version}/diff", tag = "models",
    params(("model" = String, Path), ("version" = String, Path), DiffQuery), responses(
    (status = 200, body = ModelDiff), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn diff(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, version)): At<(String, String)>,
    Params(query): Params<DiffQuery>,
) -> Result<Json<ModelDiff>, HttpError> {
    let model: ModelName = name(&model)?;
    let other = query.model.as_deref().map(name::<ModelName>).transpose()?;
    let after = (other.as_ref().unwrap_or(&model), query.with.as_str());
    Ok(Json(shared.app.diff_models(&who, (&model, &version), after).await?))
}

/// Describes or stages a version.
#[utoipa::path(patch, path = "/api/v1/models/{model}/versions/{version}", tag = "models",
    params(("model" = String, Path), ("version" = String, Path)), request_body = UpdateVersionRequest, responses(
    (status = 200, body = ModelVersionView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn update(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, version)): At<(String, String)>,
    Body(request): Body<UpdateVersionRequest>,
) -> Result<Json<ModelVersionView>, HttpError> {
    let model: ModelName = name(&model)?;
    let stage = request.stage.as_deref().map(name::<Stage>).transpose()?;
    let mut shown = None;
    if let Some(description) = request.description {
        shown = Some(shared.app.change_model_version(&who, &model, &version, VersionChange::Description(description)).await?);
    }
    if let Some(stage) = stage {
        let change = VersionChange::Stage { stage, archive_others: request.archive_others };
        shown = Some(shared.app.change_model_version(&who, &model, &version, change).await?);
    }
    shown.map(|version| Json(version.view())).ok_or_else(|| HttpError::invalid("give a \"description\" or a \"stage\""))
}

/// Deletes a version. Refused while a robot is told to run it; its number never comes again.
#[utoipa::path(delete, path = "/api/v1/models/{model}/versions/{version}", tag = "models",
    params(("model" = String, Path), ("version" = String, Path)), responses(
    (status = 204), (status = 404, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn delete(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, version)): At<(String, String)>,
) -> Result<StatusCode, HttpError> {
    shared.app.delete_model_version(&who, &name(&model)?, &version).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a tag of a version.
#[utoipa::path(put, path = "/api/v1/models/{model}/versions/{version}/tags/{key}", tag = "models",
    params(("model" = String, Path), ("version" = String, Path), ("key" = String, Path)), request_body = TagRequest, responses(
    (status = 200, body = ModelVersionView), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn set_tag(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, version, key)): At<(String, String, String)>,
    Body(request): Body<TagRequest>,
) -> Result<Json<ModelVersionView>, HttpError> {
    let change = VersionChange::Tag(key, Some(request.value));
    Ok(Json(shared.app.change_model_version(&who, &name(&model)?, &version, change).await?.view()))
}

/// Takes a tag of a version away, if it is there.
#[utoipa::path(delete, path = "/api/v1/models/{model}/versions/{version}/tags/{key}", tag = "models",
    params(("model" = String, Path), ("version" = String, Path), ("key" = String, Path)), responses(
    (status = 200, body = ModelVersionView), (status = 404, body = ErrorBody)))]
pub(crate) async fn delete_tag(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, version, key)): At<(String, String, String)>,
) -> Result<Json<ModelVersionView>, HttpError> {
    Ok(Json(shared.app.change_model_version(&who, &name(&model)?, &version, VersionChange::Tag(key, None)).await?.view()))
}

/// Registers a bundle as the model's next version, making the model when missing. The same bundle again is the same version.
#[utoipa::path(post, path = "/api/v1/models/{model}/versions", tag = "models", params(("model" = String, Path), RegisterQuery),
    request_body(content = RegisterForm, content_type = "multipart/form-data"), responses(
    (status = 201, body = ModelVersionView, description = "Registered"),
    (status = 200, body = ModelVersionView, description = "This bundle is a version of the model already"),
    (status = 400, body = ErrorBody, description = "The bundle does not read, or its files do not fit each other; the message says why"),
    (status = 413, body = ErrorBody)))]
pub(crate) async fn register(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(model): Named<ModelName>,
    Params(query): Params<RegisterQuery>,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<(StatusCode, Json<ModelVersionView>), HttpError> {
    let form = form.map_err(|rejection| HttpError::rejected(rejection.status(), rejection.body_text()))?;
    let mut upload = shared.app.begin_upload(&who, query.kind).await?;
    let description = receive(form, &mut upload).await?;
    let (version, created) = shared.app.create_model_version(&who, &model, upload, description).await?;
    Ok((if created { StatusCode::CREATED } else { StatusCode::OK }, Json(version)))
}

/// Streams the parts to the upload; the description, which is small, comes back.
async fn receive(mut form: Multipart, upload: &mut Upload) -> Result<String, HttpError> {
    let mut description = String::new();
    while let Some(mut part) = form.next_field().await.map_err(broke_off)? {
        let name = part.name().unwrap_or_default().to_owned();
        if name == "description" {
            while let Some(chunk) = part.chunk().await.map_err(broke_off)? {
                description.push_str(std::str::from_utf8(&chunk).map_err(|_| HttpError::invalid("the description is not UTF-8"))?);
                if description.len() > 1 << 16 {
                    return Err(AppError::TooLarge { what: "the description".to_owned(), limit_bytes: 1 << 16 }.into());
                }
            }
            continue;
        }
        upload.file(&name).await?;
        while let Some(chunk) = part.chunk().await.map_err(broke_off)? {
            upload.write(&chunk).await?;
        }
    }
    Ok(description)
}

fn broke_off(error: MultipartError) -> HttpError {
    AppError::Upload(error.body_text()).into()
}
