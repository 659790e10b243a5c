//! `POST /infer`: one model, one request, no protocol to learn.
//!
//! JSON: `{"inputs": {"X": [[1, 2]]}}`, or `{"inputs": [[1, 2]]}` for a graph with one input; shapes are those of the lists, types
//! the graph's. Bytes (`application/octet-stream`): the only input's elements, little-endian, with `?shape=1,2` where the graph
//! leaves more than one dimension open. `?slot=` names a slot.

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::post;
use edgeflow_bundle::Digest;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::json::Nested;
use super::{HttpError, Served, Slots, answered, asked, whole};
use crate::engine::Model;
use crate::tensor::{Tensor, TensorSpec};
use crate::{Error, Result};

pub(super) fn routes() -> Router<Slots> {
    Router::new().route("/infer", post(infer))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    slot: Option<String>,
    /// Dimensions with commas between them.
    shape: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    slot: &'a str,
    model: &'a str,
    version: &'a str,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_id: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<f32>,
    outputs: Outputs<'a>,
}

/// Name to lists.
struct Outputs<'a>(&'a [Tensor]);

impl Serialize for Outputs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for tensor in self.0 {
            map.serialize_entry(&tensor.name, &Nested::new(&tensor.data, &tensor.shape))?;
        }
        map.end()
    }
}

// The request as it is: extracting its headers would copy them.
async fn infer(State(slots): State<Slots>, request: Request) -> std::result::Result<Response, HttpError> {
    let (Parts { uri, headers, .. }, body) = request.into_parts();
    let options = match uri.query() {
        None => Options::default(),
        Some(_) => Query::try_from_uri(&uri).map(|Query(options)| options).map_err(|error| HttpError::bad(error.body_text()))?,
    };
    let binary = headers.get(header::CONTENT_TYPE).is_some_and(|ty| ty.as_bytes().starts_with(b"application/octet-stream"));
    // What is held while the body comes makes every request's future larger.
    drop((uri, headers));
    let body = whole(body).await?;
    let served = find(&slots, options.slot.as_deref().unwrap_or_default())?;
    (served.available)()?;
    let model = served.engine.current()?;
    let tensors = if binary { vec![from_bytes(&model, options.shape.as_deref(), &body)?] } else { asked::tensors(&model, &body)? };
    let inference = served.requests.infer_on(&model, tensors).await?;
    let class = inference.classification();
    let answer = Answer {
        slot: &served.name,
        model: &model.name,
        version: &model.version,
        digest: model.digest,
        label: class.map(|c| c.label.as_str()),
        class_id: class.map(|c| c.class_id),
        score: class.map(|c| c.score),
        outputs: Outputs(&inference.outputs),
    };
    answered(&answer, inference.outputs.iter().map(|output| output.data.len()).sum())
}

fn find<'s>(slots: &'s [Served], name: &str) -> Result<&'s Served> {
    slots.iter().find(|slot| name.is_empty() || slot.name == name).ok_or_else(|| {
        let known: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
        Error::UnknownSlot { slot: name.to_owned(), known: known.join(", ") }
    })
}

fn from_bytes(model: &Model, shape: Option<&str>, bytes: &[u8]) -> std::result::Result<Tensor, HttpError> {
    let [spec] = model.inputs() else {
        return Err(HttpError::bad("bytes fill a graph with one input; send JSON, or use /v2 with its binary tensors"));
    };
    let refuse = |reason: String| Error::Tensor { name: spec.name.clone(), reason };
    let Some((ty, size)) = spec.element_type.and_then(|ty| Some((ty, ty.size_bytes()?))) else {
        return Err(refuse(format!("the graph wants {}, which has no form in bytes; send JSON", spec.type_name)).into());
    };
    let shape = match shape {
        Some(text) => text
            .split(',')
            .filter(|part| !part.is_empty())
            .map(|part| part.trim().parse())
            .collect::<std::result::Result<Vec<i64>, _>>()
            .map_err(|_| refuse(format!("shape `{text}` is no list of whole numbers, such as 1,3,224,224")))?,
        None => completed(spec, bytes.len() / size)
            .ok_or_else(|| refuse(format!("the graph wants {}; say which by ?shape=, such as ?shape=1,4", spec.wanted())))?,
    };
    Ok(Tensor::from_wire(&spec.name, ty.onnx(), &shape, bytes, &[])?)
}

/// The graph's shape with its only open dimension filled; `None` when there are more.
fn completed(spec: &TensorSpec, elements: usize) -> Option<Vec<i64>> {
    let open = spec.shape.iter().filter(|d| **d < 0).count();
    if !spec.rank_known || open > 1 {
        return None;
    }
    let fixed: i64 = spec.shape.iter().filter(|d| **d >= 0).product();
    let rest = elements as i64 / fixed.max(1);
    Some(spec.shape.iter().map(|d| if *d < 0 { rest } else { *d }).collect())
}
