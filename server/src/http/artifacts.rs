//! `/artifacts`: bytes by their SHA-256, whole or in part, so that a robot on a bad link can resume.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::ops::Range;

use crate::{
    app::{AppError, ArtifactBytes},
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::At,
    },
};

/// An artifact's bytes. One `Range: bytes=` is honoured.
#[utoipa::path(get, path = "/api/v1/artifacts/{sha256}", tag = "artifacts", params(("sha256" = String, Path, description = "64 hex digits")), responses(
    (status = 200, content_type = "application/octet-stream"), (status = 206, content_type = "application/octet-stream"),
    (status = 404, body = ErrorBody), (status = 416, body = ErrorBody)))]
pub(crate) async fn get(
    State(shared): State<Shared>,
    Caller(who): Caller,
    At(sha256): At<String>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let asked = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    let bytes = shared.app.artifact(&who, &sha256, |size| asked.map_or(Ok(None), |asked| parse_range(asked, size))).await?;
    Ok(answer(bytes, &sha256)?)
}

/// The bytes with what a client needs to go on where it broke off.
pub(crate) fn answer(bytes: ArtifactBytes, sha256: &str) -> Result<Response, AppError> {
    let whole = bytes.range == (0..bytes.size_bytes);
    let status = if whole { StatusCode::OK } else { StatusCode::PARTIAL_CONTENT };
    let mut headers = vec![
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, (bytes.range.end - bytes.range.start).to_string()),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::ETAG, format!("\"{}\"", sha256.to_ascii_lowercase())),
        (header::CACHE_CONTROL, "private, immutable, max-age=31536000".to_owned()),
    ];
    if !whole {
        let (first, last) = (bytes.range.start, bytes.range.end - 1);
        headers.push((header::CONTENT_RANGE, format!("bytes {first}-{last}/{}", bytes.size_bytes)));
    }
    let mut response = (status, Body::from_stream(bytes.stream)).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().map_err(AppError::artifact("writing a header"))?);
    }
    Ok(response)
}

/// One range of `bytes=first-last`, `bytes=first-` or `bytes=-count`. What does not parse, or asks for several, is as if
/// it were not there (RFC 9110, 14.2).
pub(crate) fn parse_range(asked: &str, size_bytes: u64) -> Result<Option<Range<u64>>, AppError> {
    let Some((first, last)) = asked.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else { return Ok(None) };
    let (first, last) = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.saturating_add(1).min(size_bytes)),
        (Ok(first), Err(_)) if last.is_empty() => (first, size_bytes),
        (Err(_), Ok(count)) if first.is_empty() => (size_bytes.saturating_sub(count), size_bytes),
        _ => return Ok(None),
    };
    if first >= last { Err(AppError::BadRange { size_bytes }) } else { Ok(Some(first..last)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        for (asked, range) in [
            ("bytes=0-3", Some(0..4)),
            ("bytes=4-", Some(4..10)),
            ("bytes=-3", Some(7..10)),
            ("bytes=-30", Some(0..10)),
            ("bytes=8-99", Some(8..10)),
            ("bytes=5-2", None),
            ("bytes=0-1,4-5", None),
            ("lines=1-2", None),
        ] {
            assert_eq!(parse_range(asked, 10).unwrap(), range, "{asked}");
        }
        for outside in ["bytes=10-", "bytes=12-14", "bytes=-0"] {
            assert!(matches!(parse_range(outside, 10), Err(AppError::BadRange { size_bytes: 10 })), "{outside}");
        }
    }
}
