//! Reading requests, so that what does not read is refused in our own shape.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::request::Parts,
};
use edgeflow_core::CoreError;
use serde::{Deserialize, de::DeserializeOwned};
use std::str::FromStr;

use crate::http::error::HttpError;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let read = Json::<T>::from_request(request, state).await;
        read.map(|Json(body)| Self(body)).map_err(|rejection| HttpError::rejected(rejection.status(), rejection.body_text()))
    }
}

/// The query.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let read = Query::<T>::from_request_parts(parts, state).await;
        read.map(|Query(query)| Self(query)).map_err(|rejection| HttpError::invalid(rejection.body_text()))
    }
}

/// What stands in the path.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|Path(at)| Self(at)).map_err(|rejection| HttpError::invalid(rejection.body_text()))
    }
}

/// The one name in the path.
pub(crate) struct Named<T>(pub(crate) T);

impl<T, S> FromRequestParts<S> for Named<T>
where
    T: FromStr<Err = CoreError>,
    S: Send + Sync,
{
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let At(text) = At::<String>::from_request_parts(parts, state).await?;
        name(&text).map(Self)
    }
}

/// A name from text.
pub(crate) fn name<T: FromStr<Err = CoreError>>(text: &str) -> Result<T, HttpError> {
    text.parse().map_err(|error: CoreError| HttpError::invalid(error.to_string()))
}

/// Which page of a list.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PageQuery {
    /// `next` of the page before.
    pub(crate) after: Option<String>,
    /// At most so many items, 1 to 1000; 100 by default.
    pub(crate) limit: Option<u32>,
}

impl PageQuery {
    pub(crate) fn limit(&self) -> Result<u32, HttpError> {
        limit(self.limit)
    }

    /// `after` as the number it was given out as.
    pub(crate) fn number(&self) -> Result<Option<i64>, HttpError> {
        number(self.after.as_deref())
    }
}

/// A page's size.
pub(crate) fn limit(given: Option<u32>) -> Result<u32, HttpError> {
    match given.unwrap_or(100) {
        limit @ 1..=1000 => Ok(limit),
        limit => Err(HttpError::invalid(format!("limit {limit} is not in 1 to 1000"))),
    }
}

/// A cursor that is a number.
pub(crate) fn number(after: Option<&str>) -> Result<Option<i64>, HttpError> {
    let Some(text) = after else { return Ok(None) };
    text.parse().map(Some).map_err(|_| HttpError::invalid(format!("after {text:?} is no place in this list: give the \"next\" of a page")))
}
