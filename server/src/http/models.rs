//! `/models`: models and their versions.

use axum::{
    Json,
    extract::{Multipart, State, multipart::MultipartError},
    http::StatusCode,
};
use edgeflow_core::{
    ModelName, Page,
    model::{ModelVersionView, ModelView},
};
use serde::Deserialize;

use crate::{
    app::{AppError, ModelRequest, Upload},
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
    /// 1 to 128 letters, digits, dots, dashes and underscores, starting with a letter or digit.
    name: String,
    /// For people.
    #[serde(default)]
    description: String,
}

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

/// Makes a model without versions.
#[utoipa::path(post, path = "/api/v1/models", tag = "models", request_body = CreateModelRequest, responses(
    (status = 201, body = ModelView), (status = 400, body = ErrorBody), (status = 409, body = ErrorBody)))]
pub(crate) async fn create(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Body(request): Body<CreateModelRequest>,
) -> Result<(StatusCode, Json<ModelView>), HttpError> {
    let request = ModelRequest { name: name(&request.name)?, description: request.description };
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

/// One version.
#[utoipa::path(get, path = "/api/v1/models/{model}/versions/{version}", tag = "models",
    params(("model" = String, Path), ("version" = String, Path)), responses(
    (status = 200, body = ModelVersionView), (status = 404, body = ErrorBody)))]
pub(crate) async fn version(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At((model, version)): At<(String, String)>,
) -> Result<Json<ModelVersionView>, HttpError> {
    Ok(Json(shared.app.model_version(&who, &name(&model)?, &version).await?))
}

/// Registers a bundle as the model's next version, making the model when missing. The same bundle again is the same version.
#[utoipa::path(post, path = "/api/v1/models/{model}/versions", tag = "models", params(("model" = String, Path)),
    request_body(content = RegisterForm, content_type = "multipart/form-data"), responses(
    (status = 201, body = ModelVersionView, description = "Registered"),
    (status = 200, body = ModelVersionView, description = "This bundle is a version of the model already"),
    (status = 400, body = ErrorBody, description = "The bundle does not read, or its files do not fit each other; the message says why"),
    (status = 413, body = ErrorBody)))]
pub(crate) async fn register(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(model): Named<ModelName>,
    form: Result<Multipart, axum::extract::multipart::MultipartRejection>,
) -> Result<(StatusCode, Json<ModelVersionView>), HttpError> {
    let form = form.map_err(|rejection| HttpError::rejected(rejection.status(), rejection.body_text()))?;
    let mut upload = shared.app.begin_upload(&who).await?;
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
