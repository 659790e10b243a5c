//! Artifacts through the server: `/mlflow-artifacts/**`, which stock clients use when their tracking URI is this server.
//!
//! Bodies are streams in both directions, so most handlers read requests themselves instead of taking [`Ask`],
//! which holds a body.

use axum::{
    Json, Router,
    body::Body,
    extract::{FromRequest, FromRequestParts, Query, Request, State},
    http::{HeaderMap, header, request::Parts},
    response::Response,
    routing::{any, get},
};
use base64::Engine;
use edgeflow_bundle::Digest;
use edgeflow_core::{
    Principal,
    artifact::{ArtifactEntry, ArtifactPath},
    model_source::Source,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{
    Shared,
    artifacts::{answer, parse_range},
    mlflow::{
        MlflowError, multipart,
        request::{Ask, Asker, At, missing, required},
        unserved,
    },
};

/// Entries read at a time; an answer has them all, as MLflow's has.
const PAGE: u32 = 1000;

/// What stands below `/api/2.0/mlflow-artifacts`.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/artifacts", get(list))
        .route("/artifacts/", get(list))
        .route("/artifacts/{*path}", get(download).put(upload).delete(remove))
        .merge(multipart::routes())
        .route("/{*rest}", any(unserved::answer))
        .method_not_allowed_fallback(unserved::wrong_method)
}

/// What stands below `/api/2.0/mlflow`: artifacts of a run, the older way.
pub(crate) fn run_routes() -> Router<Shared> {
    Router::new().route("/artifacts/list", get(list_of_run)).route("/get-artifact", get(of_run))
}

#[derive(Deserialize)]
struct OfRun {
    run_id: Option<String>,
    run_uuid: Option<String>,
    path: Option<String>,
}

impl OfRun {
    /// The run's folder as its URI, the folder itself, and the path below it, if one was given.
    async fn read(self, shared: &Shared, who: &Principal) -> Result<(String, ArtifactPath, Option<ArtifactPath>), MlflowError> {
        let run = shared.app.run(who, &required(self.run_id.or(self.run_uuid), "run_id")?).await?;
        let uri = run.info.artifact_uri;
        let Source::Artifacts(root) = Source::parse(&uri)? else {
            return Err(MlflowError::invalid(format!("the artifacts of run {} are at {uri}, not on this server", run.info.id)));
        };
        let below = self.path.filter(|path| !path.is_empty()).map(|path| ArtifactPath::new(path.trim_end_matches('/'))).transpose()?;
        Ok((uri, root, below))
    }
}

async fn list_of_run(State(shared): State<Shared>, ask: Ask<OfRun>) -> Result<Json<Value>, MlflowError> {
    let (root_uri, root, below) = ask.with.read(&shared, &ask.who).await?;
    let (folder, prefix) = match below {
        Some(below) => (root.join(below.as_str())?, format!("{below}/")),
        None => (root, String::new()),
    };
    Ok(Json(json!({ "root_uri": root_uri, "files": files(&shared, &ask.who, Some(&folder), &prefix).await? })))
}

/// One file of a run.
pub(super) async fn of_run(State(shared): State<Shared>, request: Request) -> Result<Response, MlflowError> {
    let headers = request.headers().clone();
    let ask = <Ask<OfRun> as FromRequest<Shared>>::from_request(request, &shared).await?;
    let (_, root, below) = ask.with.read(&shared, &ask.who).await?;
    let below = below.ok_or_else(|| missing("path"))?;
    send(&shared, &ask.who, &root.join(below.as_str())?, &headers).await
}

#[derive(Deserialize)]
struct ListQuery {
    path: Option<String>,
}

/// Who asks, and the body that is still to come.
async fn enter(shared: &Shared, request: Request) -> Result<(Principal, Parts, Body), MlflowError> {
    let (mut parts, body) = request.into_parts();
    let Asker(who) = Asker::from_request_parts(&mut parts, shared).await?;
    Ok((who, parts, body))
}

async fn upload(State(shared): State<Shared>, At(path): At<String>, request: Request) -> Result<Json<Value>, MlflowError> {
    let (who, parts, body) = enter(&shared, request).await?;
    let (path, wanted) = (ArtifactPath::new(path)?, wanted(&parts.headers)?);
    shared.app.put_artifact(&who, path, wanted, body.into_data_stream()).await?;
    Ok(Json(json!({})))
}

/// The SHA-256 of `Content-Digest: sha-256=:<base64>:` (RFC 9530), if the client says one. Other algorithms are not looked at.
fn wanted(headers: &HeaderMap) -> Result<Option<Digest>, MlflowError> {
    let Some(header) = headers.get("content-digest") else { return Ok(None) };
    let bad = || MlflowError::invalid("the header Content-Digest does not read: give sha-256=:<base64 of 32 bytes>:");
    let members = header.to_str().map_err(|_| bad())?.split(',').map(str::trim);
    let Some(member) = members.filter_map(|member| member.strip_prefix("sha-256=")).next() else { return Ok(None) };
    let text = member.strip_prefix(':').and_then(|rest| rest.strip_suffix(':')).ok_or_else(bad)?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| bad())?;
    let bytes: [u8; 32] = bytes.try_into().map_err(|_| bad())?;
    Ok(Some(bytes.into()))
}

async fn download(State(shared): State<Shared>, At(path): At<String>, request: Request) -> Result<Response, MlflowError> {
    let (who, parts, _) = enter(&shared, request).await?;
    send(&shared, &who, &ArtifactPath::new(path)?, &parts.headers).await
}

/// The file under a path, or the part of it that `Range` asks for.
pub(super) async fn send(shared: &Shared, who: &Principal, path: &ArtifactPath, headers: &HeaderMap) -> Result<Response, MlflowError> {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let (file, bytes) = shared.app.artifact_at(who, path, |size| asked.map_or(Ok(None), |asked| parse_range(asked, size))).await?;
    let mut response = answer(bytes, &file.sha256.hex())?;
    let headers = response.headers_mut();
    // Another file may be put under the same path, and a browser must not take what people log for a page of ours.
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_DISPOSITION, header::HeaderValue::from_static("attachment"));
    Ok(response)
}

async fn remove(State(shared): State<Shared>, At(path): At<String>, request: Request) -> Result<Json<Value>, MlflowError> {
    let (who, _, _) = enter(&shared, request).await?;
    // A client that removes a folder asks for it with a slash.
    let path = ArtifactPath::new(path.trim_end_matches('/'))?;
    shared.app.delete_artifacts(&who, &path).await?;
    Ok(Json(json!({})))
}

async fn list(State(shared): State<Shared>, request: Request) -> Result<Json<Value>, MlflowError> {
    let (who, parts, _) = enter(&shared, request).await?;
    let query = Query::<ListQuery>::try_from_uri(&parts.uri).map_err(|error| MlflowError::invalid(error.body_text()))?.0;
    let folder = query.path.as_deref().map(|path| path.trim_matches('/')).filter(|path| !path.is_empty());
    let folder = folder.map(ArtifactPath::new).transpose()?;
    Ok(Json(json!({ "files": files(&shared, &who, folder.as_ref(), "").await? })))
}

/// Everything directly in a folder, as MLflow writes it; `prefix` goes before each name.
pub(super) async fn files(
    shared: &Shared,
    who: &Principal,
    folder: Option<&ArtifactPath>,
    prefix: &str,
) -> Result<Vec<Value>, MlflowError> {
    let mut files = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = shared.app.artifacts_in(who, folder, after.as_deref(), PAGE).await?;
        files.extend(page.iter().map(|entry| file(entry, prefix)));
        match page.last() {
            Some(last) if page.len() == PAGE as usize => {
                after = Some(if last.is_dir { format!("{}/", last.name) } else { last.name.clone() });
            }
            _ => return Ok(files),
        }
    }
}

fn file(entry: &ArtifactEntry, prefix: &str) -> Value {
    let path = format!("{prefix}{}", entry.name);
    match entry.size_bytes {
        Some(size_bytes) => json!({ "path": path, "is_dir": false, "file_size": size_bytes }),
        None => json!({ "path": path, "is_dir": true }),
    }
}
