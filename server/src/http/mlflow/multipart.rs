//! Artifacts in parts: `mlflow-artifacts/mpu/**` and `mlflow-artifacts/presigned/**`.
//!
//! Clients ask here where to send or fetch the parts, and then do so with bare requests that carry none of their credentials:
//! the addresses they are given open what they are for, and nothing else.

use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, FromRequest, FromRequestParts, OriginalUri, Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, Uri, header, request::Parts},
    response::Response,
    routing::{get, post, put},
};
use edgeflow_bundle::Digest;
use edgeflow_core::{artifact::ArtifactPath, multipart::NamedPart};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    app::Presigned,
    http::{
        Shared,
        artifacts::{answer, parse_range},
        mlflow::{
            Code, MlflowError,
            request::{Ask, Asker, At, int64, required},
        },
        secure::Peer,
    },
};

/// What stands below `/api/2.0/mlflow-artifacts`.
pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/mpu/create", post(create))
        .route("/mpu/create/{*folder}", post(create))
        .route("/mpu/complete", post(complete))
        .route("/mpu/complete/{*folder}", post(complete))
        .route("/mpu/abort", post(abort))
        .route("/mpu/abort/{*folder}", post(abort))
        .route("/mpu/parts/{upload}/{number}", put(part))
        .route("/presigned/{*path}", get(presign))
        .route("/presigned-content/{sha256}", get(presigned_content))
}

type Answer = Result<Json<Value>, MlflowError>;

/// The request's fields with the folder in its path, if there is one.
struct Below<T> {
    ask: Ask<T>,
    folder: Option<String>,
    base: String,
}

impl<T: DeserializeOwned> FromRequest<Shared> for Below<T> {
    type Rejection = MlflowError;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, MlflowError> {
        let (mut parts, body) = request.into_parts();
        let folder = Option::<Path<String>>::from_request_parts(&mut parts, shared).await;
        let folder = folder.map_err(|error| MlflowError::invalid(error.body_text()))?.map(|Path(folder)| folder);
        let base = base(&parts)?;
        Ok(Self { ask: Ask::from_request(Request::from_parts(parts, body), shared).await?, folder, base })
    }
}

/// Where `mlflow-artifacts` is for whoever asked: the address they came by, behind a proxy the one they gave that.
fn base(parts: &Parts) -> Result<String, MlflowError> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let tls = parts.extensions.get::<ConnectInfo<Peer>>().is_some_and(|ConnectInfo(peer)| peer.tls);
    let scheme = match header("x-forwarded-proto") {
        Some(scheme @ ("http" | "https")) => scheme,
        _ if tls => "https",
        _ => "http",
    };
    let host = header("x-forwarded-host").or_else(|| header("host")).or_else(|| parts.uri.authority().map(|at| at.as_str()));
    let host = host.ok_or_else(|| MlflowError::invalid("the request has no header Host: addresses for parts cannot be told"))?;
    let prefix = header("x-forwarded-prefix").unwrap_or_default().trim_end_matches('/');
    let path = parts.extensions.get::<OriginalUri>().map_or_else(|| parts.uri.path(), |OriginalUri(uri)| uri.path());
    let (api, _) = path.split_once("/mlflow-artifacts/").unwrap_or(("/api/2.0", ""));
    Ok(format!("{scheme}://{host}{prefix}{api}/mlflow-artifacts"))
}

/// Where the file goes: under the name it has on the client's disk, in the folder.
fn place(folder: Option<&str>, local: &str) -> Result<ArtifactPath, MlflowError> {
    let name = local.rsplit(['/', '\\']).next().unwrap_or_default();
    let folder = folder.map(|folder| folder.trim_end_matches('/')).filter(|folder| !folder.is_empty());
    Ok(match folder {
        Some(folder) => ArtifactPath::new(folder)?.join(name)?,
        None => ArtifactPath::new(name)?,
    })
}

#[derive(Deserialize)]
struct CreateFields {
    path: Option<String>,
    #[serde(default, deserialize_with = "int64")]
    num_parts: Option<i64>,
}

async fn create(State(shared): State<Shared>, Below { ask, folder, base }: Below<CreateFields>) -> Answer {
    let path = place(folder.as_deref(), &required(ask.with.path, "path")?)?;
    let upload = shared.app.begin_multipart(&ask.who, path, ask.with.num_parts.unwrap_or(1)).await?;
    let credential = |number: u32| {
        let url = format!("{base}/mpu/parts/{}/{number}", upload.id);
        json!({ "url": url, "part_number": number, "headers": {} })
    };
    let credentials: Vec<_> = (1..=upload.parts).map(credential).collect();
    Ok(Json(json!({ "upload_id": upload.id, "credentials": credentials })))
}

/// A part. The address is the permission.
async fn part(
    State(shared): State<Shared>,
    At((upload, number)): At<(String, u32)>,
    body: Body,
) -> Result<([(header::HeaderName, String); 1], Json<Value>), MlflowError> {
    let part = shared.app.put_part(&upload, number, body.into_data_stream()).await?;
    Ok(([(header::ETAG, format!("\"{}\"", part.sha256.hex()))], Json(json!({}))))
}

#[derive(Deserialize)]
struct PartFields {
    #[serde(default, deserialize_with = "int64")]
    part_number: Option<i64>,
    etag: Option<String>,
}

#[derive(Deserialize)]
struct CompleteFields {
    path: Option<String>,
    upload_id: Option<String>,
    parts: Option<Vec<PartFields>>,
}

async fn complete(State(shared): State<Shared>, Below { ask, folder, .. }: Below<CompleteFields>) -> Answer {
    let path = place(folder.as_deref(), &required(ask.with.path, "path")?)?;
    let id = required(ask.with.upload_id, "upload_id")?;
    let parts = ask.with.parts.unwrap_or_default().into_iter();
    let named: Vec<_> =
        parts.map(|part| NamedPart { number: part.part_number.unwrap_or_default(), etag: part.etag.unwrap_or_default() }).collect();
    shared.app.complete_multipart(&ask.who, &path, &id, &named).await?;
    Ok(Json(json!({})))
}

#[derive(Deserialize)]
struct AbortFields {
    path: Option<String>,
    upload_id: Option<String>,
}

async fn abort(State(shared): State<Shared>, Below { ask, folder, .. }: Below<AbortFields>) -> Answer {
    let path = place(folder.as_deref(), &required(ask.with.path, "path")?)?;
    shared.app.abort_multipart(&ask.who, &path, &required(ask.with.upload_id, "upload_id")?).await?;
    Ok(Json(json!({})))
}

async fn presign(State(shared): State<Shared>, At(path): At<String>, request: Request) -> Answer {
    let (mut parts, _) = request.into_parts();
    let Asker(who) = Asker::from_request_parts(&mut parts, &shared).await?;
    let (presigned, signature) = shared.app.presign(&who, &ArtifactPath::new(path)?).await?;
    let Presigned { sha256, size_bytes, until_us } = presigned;
    let base = base(&parts)?;
    let url = format!("{base}/presigned-content/{}?size_bytes={size_bytes}&until_us={until_us}&signature={signature}", sha256.hex());
    Ok(Json(json!({ "url": url, "headers": {}, "file_size": size_bytes })))
}

#[derive(Deserialize)]
struct ContentQuery {
    size_bytes: u64,
    until_us: i64,
    signature: String,
}

/// What an address opens, or the part of it that `Range` asks for.
async fn presigned_content(
    State(shared): State<Shared>,
    At(sha256): At<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, MlflowError> {
    let expired = || MlflowError::new(Code::PermissionDenied, "the address has expired, or is none of ours: ask for another");
    let ContentQuery { size_bytes, until_us, signature } = Query::try_from_uri(&uri).map_err(|_| expired())?.0;
    let sha256 = Digest::from_hex(&sha256).map_err(|_| expired())?;
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let range = |size| asked.map_or(Ok(None), |asked| parse_range(asked, size));
    let opened = shared.app.presigned_artifact(&Presigned { sha256, size_bytes, until_us }, &signature, range).await?;
    let mut response = answer(opened.ok_or_else(expired)?, &sha256.hex())?;
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_of_the_way_the_client_came() {
        let of = |uri: &str, headers: &[(&'static str, &str)]| {
            let mut request = Request::builder().uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            base(&request.body(()).unwrap().into_parts().0)
        };
        let (uri, host) = ("/ajax-api/2.0/mlflow-artifacts/mpu/create/a", ("host", "plane:5000"));
        assert_eq!(of(uri, &[host]).unwrap(), "http://plane:5000/ajax-api/2.0/mlflow-artifacts");
        let proxied = [host, ("x-forwarded-proto", "https"), ("x-forwarded-host", "ops.example"), ("x-forwarded-prefix", "/ml/")];
        assert_eq!(of(uri, &proxied).unwrap(), "https://ops.example/ml/ajax-api/2.0/mlflow-artifacts");
        assert_eq!(of(uri, &[host, ("x-forwarded-proto", "ftp")]).unwrap(), "http://plane:5000/ajax-api/2.0/mlflow-artifacts");
        assert!(of(uri, &[]).is_err());
    }

    #[test]
    fn a_file_goes_under_the_name_it_has_at_home() {
        for (folder, local, path) in [
            (Some("0/run/artifacts/"), "/home/ada/model.bin", "0/run/artifacts/model.bin"),
            (Some("0/run"), r"C:\models\a b.bin", "0/run/a b.bin"),
            (None, "größe", "größe"),
        ] {
            assert_eq!(place(folder, local).unwrap().as_str(), path);
        }
        for (folder, local) in [(Some("../x"), "a"), (Some("x"), ".."), (None, "a/")] {
            assert!(place(folder, local).is_err(), "{folder:?} {local}");
        }
    }
}
