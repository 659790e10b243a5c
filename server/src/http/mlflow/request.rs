//! Reading requests as MLflow's server does: the JSON form of protobuf. Unknown fields are ignored, `null` is a field that is
//! not there, 64-bit integers may come as strings, doubles as `"NaN"` and `"Infinity"`; a GET carries its fields in the
//! query, lists as repeated keys.

use axum::{
    body::to_bytes,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{Method, request::Parts},
};
use edgeflow_core::Principal;
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, Visitor},
};
use serde_json::{Map, Value};
use std::{fmt, marker::PhantomData};

use crate::http::{
    Shared,
    auth::Caller,
    mlflow::{Code, MlflowError},
};

/// Most bytes of a body. A dataset's profile alone may have 16 MB.
const MAX_BODY_BYTES: usize = 32 << 20;

/// Who asks, and with which fields.
pub(crate) struct Ask<T> {
    /// Who.
    pub(crate) who: Principal,
    /// The fields of the request.
    pub(crate) with: T,
}

/// Who asks, of a request whose body is not read as fields: refused in MLflow's shape.
pub(crate) struct Asker(pub(crate) Principal);

impl FromRequestParts<Shared> for Asker {
    type Rejection = MlflowError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, MlflowError> {
        let Caller(who) = Caller::from_request_parts(parts, shared).await?;
        Ok(Self(who))
    }
}

/// What stands in the path.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Shared> for At<T> {
    type Rejection = MlflowError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, MlflowError> {
        let read = Path::<T>::from_request_parts(parts, shared).await;
        read.map(|Path(at)| Self(at)).map_err(|rejection| MlflowError::invalid(rejection.body_text()))
    }
}

impl<T: DeserializeOwned> FromRequest<Shared> for Ask<T> {
    type Rejection = MlflowError;

    async fn from_request(request: Request, shared: &Shared) -> Result<Self, MlflowError> {
        let (mut parts, body) = request.into_parts();
        let Caller(who) = Caller::from_request_parts(&mut parts, shared).await?;
        let body = to_bytes(body, MAX_BODY_BYTES).await.map_err(|error| {
            MlflowError::new(
                Code::RequestLimitExceeded,
                format!("the body does not come whole, or has over {MAX_BODY_BYTES} bytes: {error}"),
            )
        })?;
        let query = parts.uri.query().unwrap_or_default();
        let with = if body.is_empty() || parts.method == Method::GET && !query.is_empty() {
            from_query(query)?
        } else {
            serde_json::from_slice(&body)
                .map_err(|error| MlflowError::invalid(format!("the body is not what this endpoint takes: {error}")))?
        };
        Ok(Self { who, with })
    }
}

/// The fields of a query: a key that comes again makes a list.
fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, MlflowError> {
    let unreadable = |error: &dyn fmt::Display| MlflowError::invalid(format!("the query is not what this endpoint takes: {error}"));
    let pairs: Vec<(String, String)> =
        axum::extract::Query::try_from_uri(&query_uri(query).map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?.0;
    let mut fields = Map::new();
    for (key, value) in pairs {
        let value = Value::String(value);
        match fields.get_mut(&key) {
            None => {
                fields.insert(key, value);
            }
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    serde_json::from_value(Value::Object(fields)).map_err(|error| unreadable(&error))
}

fn query_uri(query: &str) -> Result<axum::http::Uri, axum::http::uri::InvalidUri> {
    format!("/?{query}").parse()
}

/// A field that has to be there, and not empty.
pub(crate) fn required(field: Option<String>, name: &'static str) -> Result<String, MlflowError> {
    match field {
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(missing(name)),
    }
}

/// The error about a field that is not there.
pub(crate) fn missing(name: &str) -> MlflowError {
    MlflowError::invalid(format!("Missing value for required parameter '{name}'"))
}

/// `#[serde(default, deserialize_with = "int64")]`: an integer, also as text or as a float without fraction.
pub(crate) fn int64<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    from.deserialize_any(Scalar(PhantomData))
}

/// `#[serde(default, deserialize_with = "double")]`: a number, also as text, also none or an infinite one.
pub(crate) fn double<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    from.deserialize_any(Scalar(PhantomData))
}

/// `#[serde(default, deserialize_with = "boolean")]`: also as text.
pub(crate) fn boolean<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    from.deserialize_any(Scalar(PhantomData))
}

/// `#[serde(default, deserialize_with = "list")]`: a list; one item that stands alone, as in a query, is a list of one.
pub(crate) fn list<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany<T> {
        Many(Vec<T>),
        One(T),
        None,
    }
    Ok(match OneOrMany::deserialize(from)? {
        OneOrMany::Many(items) => items,
        OneOrMany::One(item) => vec![item],
        OneOrMany::None => Vec::new(),
    })
}

/// What can be read from the scalars of JSON.
trait FromScalar: Sized {
    const WHAT: &'static str;
    fn of_text(text: &str) -> Option<Self>;
    fn of_int(int: i64) -> Option<Self>;
    fn of_float(float: f64) -> Option<Self>;
    fn of_bool(_: bool) -> Option<Self> {
        None
    }
}

impl FromScalar for i64 {
    const WHAT: &'static str = "an integer";
    fn of_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }
    fn of_int(int: i64) -> Option<Self> {
        Some(int)
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "checked: the cast is the value")]
    fn of_float(float: f64) -> Option<Self> {
        (float.fract() == 0.0 && float.abs() < i64::MAX as f64).then_some(float as i64)
    }
}

impl FromScalar for f64 {
    const WHAT: &'static str = "a number";
    fn of_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }
    #[allow(clippy::cast_precision_loss, reason = "the nearest one, as of digits that are read as a float")]
    fn of_int(int: i64) -> Option<Self> {
        Some(int as f64)
    }
    fn of_float(float: f64) -> Option<Self> {
        Some(float)
    }
}

impl FromScalar for bool {
    const WHAT: &'static str = "true or false";
    fn of_text(text: &str) -> Option<Self> {
        match text {
            "true" | "True" | "1" => Some(true),
            "false" | "False" | "0" => Some(false),
            _ => None,
        }
    }
    fn of_int(_: i64) -> Option<Self> {
        None
    }
    fn of_float(_: f64) -> Option<Self> {
        None
    }
    fn of_bool(given: bool) -> Option<Self> {
        Some(given)
    }
}

struct Scalar<T>(PhantomData<T>);

impl<T: FromScalar> Visitor<'_> for Scalar<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::WHAT)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: de::Error>(self, given: bool) -> Result<Self::Value, E> {
        T::of_bool(given).map(Some).ok_or_else(|| E::invalid_type(de::Unexpected::Bool(given), &self))
    }

    fn visit_i64<E: de::Error>(self, given: i64) -> Result<Self::Value, E> {
        T::of_int(given).map(Some).ok_or_else(|| E::invalid_value(de::Unexpected::Signed(given), &self))
    }

    #[allow(clippy::cast_precision_loss, reason = "beyond 64 bits with a sign it is a float")]
    fn visit_u64<E: de::Error>(self, given: u64) -> Result<Self::Value, E> {
        let read = i64::try_from(given).map_or_else(|_| T::of_float(given as f64), T::of_int);
        read.map(Some).ok_or_else(|| E::invalid_value(de::Unexpected::Unsigned(given), &self))
    }

    fn visit_f64<E: de::Error>(self, given: f64) -> Result<Self::Value, E> {
        T::of_float(given).map(Some).ok_or_else(|| E::invalid_value(de::Unexpected::Float(given), &self))
    }

    fn visit_str<E: de::Error>(self, given: &str) -> Result<Self::Value, E> {
        T::of_text(given).map(Some).ok_or_else(|| E::invalid_value(de::Unexpected::Str(given), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Fields {
        name: Option<String>,
        #[serde(default, deserialize_with = "int64")]
        step: Option<i64>,
        #[serde(default, deserialize_with = "double")]
        value: Option<f64>,
        #[serde(default, deserialize_with = "boolean")]
        deep: Option<bool>,
        #[serde(default, deserialize_with = "list")]
        ids: Vec<String>,
    }

    #[test]
    fn a_query_reads_as_the_same_fields_as_a_body() {
        let query: Fields = from_query("name=a%20b+c&step=-4&value=-Infinity&deep=true&ids=1&ids=2&more=x").unwrap();
        let body: Fields = serde_json::from_str(
            r#"{"name": "a b c", "step": "-4", "value": "-Infinity", "deep": true, "ids": ["1", "2"], "more": {"x": 1}}"#,
        )
        .unwrap();
        for read in [query, body] {
            assert_eq!((read.name.as_deref(), read.step, read.deep), (Some("a b c"), Some(-4), Some(true)));
            assert_eq!((read.value, read.ids), (Some(f64::NEG_INFINITY), vec!["1".to_owned(), "2".to_owned()]));
        }
        assert_eq!(from_query::<Fields>("ids=7").unwrap().ids, ["7"]);
    }

    #[test]
    fn null_is_not_there_and_what_is_no_number_is_refused() {
        let read: Fields = serde_json::from_str(r#"{"name": null, "step": null, "value": null, "deep": null, "ids": null}"#).unwrap();
        assert!(read.name.is_none() && read.step.is_none() && read.value.is_none() && read.deep.is_none() && read.ids.is_empty());
        let exact: Fields = serde_json::from_str(r#"{"value": 1.3900000000000001}"#).unwrap();
        assert_eq!(exact.value.map(f64::to_bits), Some((1.0_f64 + 0.39).to_bits()));
        let read: Fields = serde_json::from_str(r#"{"step": 1e3, "value": "NaN"}"#).unwrap();
        assert!(read.step == Some(1000) && read.value.is_some_and(f64::is_nan));
        for bad in [r#"{"step": 1.5}"#, r#"{"step": "x"}"#, r#"{"value": true}"#, r#"{"value": ""}"#, r#"{"deep": 3}"#] {
            assert!(serde_json::from_str::<Fields>(bad).is_err(), "{bad}");
        }
    }
}
