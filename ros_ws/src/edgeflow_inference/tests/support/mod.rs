//! Tiny bundles for tests: an ONNX graph is a protobuf message, and these are small enough to be written by hand.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};

use edgeflow_inference::engine::{LoadRequest, SessionOptions, ort::OrtBackend};
use edgeflow_inference::tensor::Data;

/// ONNX element types used here.
pub(crate) const FLOAT: u64 = 1;
pub(crate) const INT64: u64 = 7;
pub(crate) const STRING: u64 = 8;
pub(crate) const BOOL: u64 = 9;

/// A protobuf message under construction.
#[derive(Clone, Default)]
pub(crate) struct Proto(Vec<u8>);

impl Proto {
    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    pub(crate) fn int(self, field: u64, value: u64) -> Self {
        self.varint(field << 3).varint(value)
    }

    pub(crate) fn bytes(self, field: u64, bytes: &[u8]) -> Self {
        let mut me = self.varint(field << 3 | 2).varint(bytes.len() as u64);
        me.0.extend_from_slice(bytes);
        me
    }

    pub(crate) fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub(crate) fn message(self, field: u64, message: &Proto) -> Self {
        self.bytes(field, &message.0)
    }
}

/// A graph input or output; a dimension of 0 is left open.
pub(crate) fn value(name: &str, ty: u64, shape: &[u64]) -> Proto {
    let dims = shape.iter().fold(Proto::default(), |shape, d| {
        shape.message(1, &if *d == 0 { Proto::default().text(2, "any") } else { Proto::default().int(1, *d) })
    });
    let tensor = Proto::default().int(1, ty).message(2, &dims);
    Proto::default().text(1, name).message(2, &Proto::default().message(1, &tensor))
}

/// A graph input or output whose dimensions are lengths, or names of lengths.
pub(crate) fn value_named(name: &str, ty: u64, shape: &[&str]) -> Proto {
    let dims = shape.iter().fold(Proto::default(), |shape, d| {
        shape.message(1, &d.parse().map_or_else(|_| Proto::default().text(2, d), |length| Proto::default().int(1, length)))
    });
    let tensor = Proto::default().int(1, ty).message(2, &dims);
    Proto::default().text(1, name).message(2, &Proto::default().message(1, &tensor))
}

/// A graph input or output of which only the element type is stated.
pub(crate) fn value_of_any_shape(name: &str, ty: u64) -> Proto {
    Proto::default().text(1, name).message(2, &Proto::default().message(1, &Proto::default().int(1, ty)))
}

/// What scikit-learn's converter makes of a classifier's probabilities: rows of scores become maps from these classes.
pub(crate) fn zip_map_model(classes: &Data) -> Vec<u8> {
    let (key, attribute) = match classes {
        Data::I64(keys) => {
            let list = keys.iter().fold(Proto::default().text(1, "classlabels_int64s"), |a, k| a.int(8, *k as u64));
            (INT64, list.int(20, 7))
        }
        Data::String(keys) => {
            let list = keys.iter().fold(Proto::default().text(1, "classlabels_strings"), |a, k| a.text(9, k));
            (STRING, list.int(20, 8))
        }
        other => panic!("classes are int64 or string, not {}", other.element_type()),
    };
    let zip = node("ZipMap", &["X"], &["output_probability"]).message(5, &attribute).text(7, "ai.onnx.ml");
    let scalar = Proto::default().message(1, &Proto::default().int(1, FLOAT));
    let map = Proto::default().message(5, &Proto::default().int(1, key).message(2, &scalar));
    let sequence = Proto::default().message(4, &Proto::default().message(1, &map));
    let output = Proto::default().text(1, "output_probability").message(2, &sequence);
    let mut onnx = model(&[zip], &[], &[value("X", FLOAT, &[0, classes.len() as u64])], &[output]);
    onnx.extend(Proto::default().message(8, &Proto::default().text(1, "ai.onnx.ml").int(2, 1)).0);
    onnx
}

pub(crate) fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> Proto {
    let node = inputs.iter().fold(Proto::default(), |n, i| n.text(1, i));
    outputs.iter().fold(node, |n, o| n.text(2, o)).text(4, op)
}

pub(crate) fn floats(name: &str, shape: &[u64], values: &[f32]) -> Proto {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    shape.iter().fold(Proto::default(), |t, d| t.int(1, *d)).int(2, FLOAT).text(8, name).bytes(9, &raw)
}

pub(crate) fn ints(name: &str, shape: &[u64], values: &[i64]) -> Proto {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    shape.iter().fold(Proto::default(), |t, d| t.int(1, *d)).int(2, INT64).text(8, name).bytes(9, &raw)
}

/// A node that makes its input another element type.
pub(crate) fn cast(input: &str, output: &str, to: u64) -> Proto {
    node("Cast", &[input], &[output]).message(5, &Proto::default().text(1, "to").int(3, to).int(20, 2))
}

/// A model of one graph.
pub(crate) fn model(nodes: &[Proto], constants: &[Proto], inputs: &[Proto], outputs: &[Proto]) -> Vec<u8> {
    model_of(13, 8, nodes, constants, inputs, outputs)
}

/// A model of one graph, of an operator set and a version of the format.
pub(crate) fn model_of(opset: u64, ir: u64, nodes: &[Proto], constants: &[Proto], inputs: &[Proto], outputs: &[Proto]) -> Vec<u8> {
    let graph = nodes.iter().fold(Proto::default(), |g, n| g.message(1, n)).text(2, "test");
    let graph = constants.iter().fold(graph, |g, c| g.message(5, c));
    let graph = inputs.iter().fold(graph, |g, i| g.message(11, i));
    let graph = outputs.iter().fold(graph, |g, o| g.message(12, o));
    let opset = Proto::default().text(1, "").int(2, opset);
    Proto::default().int(1, ir).text(2, "edgeflow tests").message(7, &graph).message(8, &opset).0
}

/// A field to add behind a model: an entry of its metadata.
pub(crate) fn with_metadata(key: &str, value: &str) -> Vec<u8> {
    Proto::default().message(14, &Proto::default().text(1, key).text(2, value)).0
}

/// Scores of a 2 x 2 image: its four pixels plus a bias each. On a black frame the greatest bias wins.
pub(crate) fn pixel_model(bias: [f32; 4]) -> Vec<u8> {
    model(
        &[node("Add", &["X", "bias"], &["probabilities"])],
        &[floats("bias", &[1, 4], &bias)],
        &[value("X", FLOAT, &[0, 4])],
        &[value("probabilities", FLOAT, &[0, 4])],
    )
}

pub(crate) const PIXEL_MANIFEST: &str = "v: 1
input: {encoding: mono8, resize: {width: 2, height: 2, filter: box}, layout: flat, scale: 0.00390625}
output: {decode: classification, scores: probabilities}
labels: [a, b, c, d]
";

/// A bundle that calls a black frame by `label` (0 is `a`).
pub(crate) fn pixel_bundle(dir: &Path, label: usize) -> PathBuf {
    let mut bias = [0.0; 4];
    bias[label] = 2.0;
    bundle(&dir.join(format!("says-{label}")), &pixel_model(bias), Some(PIXEL_MANIFEST))
}

/// Writes a bundle.
pub(crate) fn bundle(dir: &Path, onnx: &[u8], manifest: Option<&str>) -> PathBuf {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("model.onnx"), onnx).unwrap();
    if let Some(manifest) = manifest {
        std::fs::write(dir.join("edgeflow.yaml"), manifest).unwrap();
    }
    dir.to_owned()
}

pub(crate) fn request(path: &Path) -> LoadRequest {
    LoadRequest { path: path.to_owned(), name: "test".into(), version: "1".into(), expected: None }
}

/// An engine on the machine's ONNX Runtime. Tests need one: a missing library is a failure that says how to get it.
pub(crate) fn engine() -> edgeflow_inference::engine::Engine {
    engine_with(SessionOptions::default())
}

/// As [`engine`], with sessions built as said.
pub(crate) fn engine_with(options: SessionOptions) -> edgeflow_inference::engine::Engine {
    let backend = OrtBackend::find("").unwrap_or_else(|error| panic!("{error}"));
    edgeflow_inference::engine::Engine::new(std::sync::Arc::new(backend), options)
}
