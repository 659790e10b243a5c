//! The Open Inference Protocol, version 2, with the binary tensor extension: what clients of KServe and Triton speak.
//! <https://github.com/kserve/open-inference-protocol>
//!
//! A model is named by its slot, or by the registry name of what runs in a slot. A version, where one is named, must be the one that
//! runs: others are not kept.

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;

use super::json::Nested;
use super::{HttpError, Served, Slots, answered, binary, json as lists, whole};
use crate::engine::Model;
use crate::tensor::{Tensor, TensorSpec};

type Answer<T> = Result<T, HttpError>;

pub(super) fn routes() -> Router<Slots> {
    Router::new()
        .route("/v2", get(server))
        .route("/v2/health/live", get(async || StatusCode::OK))
        .route("/v2/health/ready", get(ready))
        .route("/v2/models/{model}", get(metadata))
        .route("/v2/models/{model}/ready", get(model_ready))
        .route("/v2/models/{model}/infer", post(infer))
        .route("/v2/models/{model}/versions/{version}", get(metadata))
        .route("/v2/models/{model}/versions/{version}/ready", get(model_ready))
        .route("/v2/models/{model}/versions/{version}/infer", post(infer))
}

/// The model a route names.
#[derive(Deserialize)]
struct Named {
    model: String,
    version: Option<String>,
}

impl Named {
    fn find<'s>(&self, slots: &'s [Served]) -> Answer<(&'s Served, Arc<Model>)> {
        let running = |served: &Served| served.engine.current().is_ok_and(|model| model.name == self.model);
        let served = slots.iter().find(|s| s.name == self.model).or_else(|| slots.iter().find(|s| running(s)));
        let Some(served) = served else {
            let known: Vec<&str> = slots.iter().map(|slot| slot.name.as_str()).collect();
            let message = format!("no model `{}`: name what runs here, or a slot ({})", self.model, known.join(", "));
            return Err(HttpError::new(StatusCode::NOT_FOUND, message));
        };
        let model = served.engine.current()?;
        match &self.version {
            Some(version) if *version != model.version => {
                let message = format!("no version `{version}` of `{}`: version `{}` runs", self.model, model.version);
                Err(HttpError::new(StatusCode::NOT_FOUND, message))
            }
            _ => Ok((served, model)),
        }
    }
}

async fn server() -> Json<Value> {
    Json(json!({"name": "edgeflow_inference", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"]}))
}

async fn ready(State(slots): State<Slots>) -> StatusCode {
    if slots.iter().all(Served::is_ready) { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn model_ready(State(slots): State<Slots>, Path(named): Path<Named>) -> Answer<StatusCode> {
    let (served, _) = named.find(&slots)?;
    (served.available)()?;
    Ok(StatusCode::OK)
}

async fn metadata(State(slots): State<Slots>, Path(named): Path<Named>) -> Answer<Json<Value>> {
    let (_, model) = named.find(&slots)?;
    let tensors = |specs: &[TensorSpec]| -> Vec<Value> {
        let known = specs.iter().filter_map(|spec| Some((spec, spec.element_type?)));
        known.map(|(spec, ty)| json!({"name": spec.name, "datatype": binary::datatype(ty), "shape": spec.shape})).collect()
    };
    Ok(Json(json!({
        "name": named.model,
        "versions": [model.version],
        "platform": "onnxruntime_onnx",
        "inputs": tensors(model.inputs()),
        "outputs": tensors(model.outputs()),
    })))
}

#[derive(Deserialize)]
struct Request<'a> {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow)]
    inputs: Vec<Input<'a>>,
    /// Which outputs to give; empty: all.
    #[serde(default)]
    outputs: Vec<Wanted>,
}

#[derive(Deserialize)]
struct Input<'a> {
    name: String,
    shape: Vec<i64>,
    datatype: String,
    #[serde(default)]
    parameters: Parameters,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Wanted {
    name: String,
    #[serde(default)]
    parameters: Parameters,
}

/// Those that mean something here; the protocol lets clients send others.
#[derive(Default, Deserialize)]
struct Parameters {
    binary_data_size: Option<usize>,
    binary_data: Option<bool>,
    binary_data_output: Option<bool>,
    classification: Option<u64>,
}

#[derive(Serialize)]
struct Inferred<'a> {
    model_name: &'a str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    outputs: Vec<Output<'a>>,
}

#[derive(Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [i64],
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Nested<'a>>,
}

async fn infer(State(slots): State<Slots>, Path(named): Path<Named>, headers: HeaderMap, body: Body) -> Answer<Response> {
    let body = whole(body).await?;
    let (served, model) = named.find(&slots)?;
    (served.available)()?;
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING).filter(|e| e.as_bytes() != b"identity") {
        return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, format!("bodies are not decompressed here: {encoding:?}")));
    }
    let (json, rest) = split(&headers, &body)?;
    let request: Request<'_> =
        serde_json::from_slice(json).map_err(|error| HttpError::bad(format!("the request is not understood: {error}")))?;
    let tensors = tensors(&request.inputs, rest)?;
    let inference = served.requests.infer_on(&model, tensors).await?;
    let outputs = chosen(&request, &inference.outputs)?;

    let mut bytes = Vec::new();
    let describe = |(tensor, is_binary): &(&'_ Tensor, bool)| {
        let encoded = is_binary.then(|| binary::encode(&tensor.data));
        let parameters = encoded.as_ref().map(|encoded| json!({"binary_data_size": encoded.len()}));
        bytes.extend(encoded.unwrap_or_default());
        parameters
    };
    let parameters: Vec<_> = outputs.iter().map(describe).collect();
    let flat: Vec<[i64; 1]> = outputs.iter().map(|(tensor, _)| [tensor.data.len() as i64]).collect();
    let described = outputs.iter().zip(parameters).zip(&flat).map(|(((tensor, is_binary), parameters), flat)| Output {
        name: &tensor.name,
        datatype: binary::datatype(tensor.data.element_type()),
        shape: &tensor.shape,
        parameters,
        data: (!is_binary).then(|| Nested::new(&tensor.data, flat)),
    });
    let answer =
        Inferred { model_name: &named.model, model_version: &model.version, id: request.id.as_deref(), outputs: described.collect() };
    if outputs.iter().all(|(_, is_binary)| !is_binary) {
        return answered(&answer, outputs.iter().map(|(tensor, _)| tensor.data.len()).sum());
    }
    let mut body = serde_json::to_vec(&answer).map_err(|error| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let length = HeaderValue::from(body.len());
    body.append(&mut bytes);
    let headers = [
        (HeaderName::from_static(binary::JSON_LENGTH), length),
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
    ];
    Ok((headers, body).into_response())
}

/// The JSON and the bytes behind it.
fn split<'b>(headers: &HeaderMap, body: &'b [u8]) -> Answer<(&'b [u8], &'b [u8])> {
    let Some(length) = headers.get(binary::JSON_LENGTH) else { return Ok((body, &[])) };
    let length = length.to_str().ok().and_then(|text| text.parse().ok());
    length.and_then(|length| body.split_at_checked(length)).ok_or_else(|| {
        HttpError::bad(format!("Inference-Header-Content-Length must be a number of bytes, at most the body's {}", body.len()))
    })
}

fn tensors(inputs: &[Input<'_>], mut bytes: &[u8]) -> Answer<Vec<Tensor>> {
    let mut tensors = Vec::with_capacity(inputs.len());
    for input in inputs {
        let refuse = |reason: String| crate::Error::Tensor { name: input.name.clone(), reason };
        let ty = binary::element_type(&input.datatype)
            .ok_or_else(|| refuse(format!("datatype `{}` is none of the protocol's", input.datatype)))?;
        tensors.push(match (input.parameters.binary_data_size, input.data) {
            (Some(size), None) => {
                let (own, rest) = bytes
                    .split_at_checked(size)
                    .ok_or_else(|| refuse(format!("binary_data_size is {size}, but only {} bytes are left in the body", bytes.len())))?;
                bytes = rest;
                binary::decode(&input.name, ty, input.shape.clone(), own)?
            }
            // Flat or nested, as the protocol allows; the shape is what `shape` says.
            (None, Some(data)) => {
                let (_, data) = lists::parse(data, ty).map_err(refuse)?;
                Tensor::new(input.name.clone(), input.shape.clone(), data)?
            }
            (Some(_), Some(_)) => return Err(refuse("it has both `data` and `binary_data_size`".to_owned()).into()),
            (None, None) => return Err(refuse("it has neither `data` nor `binary_data_size`".to_owned()).into()),
        });
    }
    if !bytes.is_empty() {
        return Err(HttpError::bad(format!("{} bytes behind the JSON belong to no input", bytes.len())));
    }
    Ok(tensors)
}

/// The outputs asked for, each with whether it goes as bytes.
fn chosen<'t>(request: &Request<'_>, outputs: &'t [Tensor]) -> Answer<Vec<(&'t Tensor, bool)>> {
    let all_binary = request.parameters.binary_data_output.unwrap_or(false);
    if request.outputs.is_empty() {
        return Ok(outputs.iter().map(|tensor| (tensor, all_binary)).collect());
    }
    let one = |wanted: &Wanted| {
        if wanted.parameters.classification.unwrap_or(0) > 0 {
            return Err(HttpError::bad("the classification extension is not spoken here; take the scores"));
        }
        let found = outputs.iter().find(|tensor| tensor.name == wanted.name);
        let tensor = found.ok_or_else(|| {
            let names: Vec<&str> = outputs.iter().map(|tensor| tensor.name.as_str()).collect();
            HttpError::bad(format!("no output `{}`; there are {}", wanted.name, names.join(", ")))
        })?;
        Ok((tensor, wanted.parameters.binary_data.unwrap_or(all_binary)))
    };
    request.outputs.iter().map(one).collect()
}
