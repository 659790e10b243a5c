//! The dashboard's files, compiled in.

use axum::{
    extract::OriginalUri,
    http::{Method, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::RustEmbed;

use crate::http::error::{HttpError, no_such_method};

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Files;

const PLACEHOLDER: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Edgeflow</title>\
<h1>Edgeflow</h1><p>This program was built without its dashboard. Build it with <code>npm ci && npm run build</code> in \
<code>server/web</code>, then build the program again; <code>cargo xtask demo</code> does both.\
<p>The API is here all the same: <a href=/api/v1/openapi.json>/api/v1/openapi.json</a> (with a token), \
<a href=/metrics>/metrics</a>, <a href=/healthz>/healthz</a>.";

/// A file of the dashboard; its only page for `/`.
pub(crate) async fn get(method: Method, uri: Uri) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return no_such_method(method, OriginalUri(uri)).await.into_response();
    }
    let path = uri.path().trim_start_matches('/');
    let page = path.is_empty() || path == "index.html";
    match Files::get(if page { "index.html" } else { path }) {
        Some(file) => {
            // The build puts a digest into the names under assets/.
            let cache = if path.starts_with("assets/") { "public, immutable, max-age=31536000" } else { "no-cache" };
            let kind = file.metadata.mimetype().to_owned();
            ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, cache.to_owned())], file.data.into_owned()).into_response()
        }
        None if page => Html(PLACEHOLDER).into_response(),
        None => HttpError::rejected(StatusCode::NOT_FOUND, format!("there is no file /{path}")).into_response(),
    }
}
