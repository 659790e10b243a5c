//! Bundles as they are: the ones in `sim/models`, whole, cut short and tampered with.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on may panic

use std::fs;
use std::path::{Path, PathBuf};

use edgeflow_bundle::{Bundle, Digest, ElemType, Error, Manifest, OnnxSchema, Source, ValueKind, bundle_digest};

fn bundles() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sim/models")
}

fn model(version: &str) -> Vec<u8> {
    fs::read(bundles().join(version).join("model.onnx")).unwrap()
}

#[test]
fn the_label_readers_open() {
    for version in ["v1", "v2", "v3"] {
        let bundle = Bundle::open(bundles().join(version)).unwrap();
        assert_eq!(
            bundle.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(),
            ["baseline.json", "edgeflow.yaml", "model.onnx"]
        );
        assert_eq!(bundle.digest, bundle_digest(&bundle.files));
        assert_eq!(bundle.model_digest, Digest::of(&model(version)));
        assert_eq!(bundle.labels().len(), 10);
        assert!(bundle.baseline.as_ref().unwrap().contains("brightness"));
        let schema = &bundle.schema;
        assert_eq!(schema.opset, 17);
        assert_eq!(schema.producer, "skl2onnx");
        assert_eq!(schema.inputs.len(), 1);
        assert_eq!(schema.inputs[0].to_string(), "X: float32[?, 64]");
        let label = schema.output("label").unwrap();
        assert_eq!((label.kind, label.elem_type, label.shape.as_slice()), (ValueKind::Tensor, ElemType::Int64, &[None][..]));
        assert_eq!(schema.output("probabilities").unwrap().shape, [None, Some(10)]);
    }
}

#[test]
fn on_disk_and_in_memory_are_the_same_bundle() {
    let dir = bundles().join("v1");
    let files =
        ["model.onnx", "baseline.json", "edgeflow.yaml"].map(|name| (name.to_owned(), Source::Bytes(fs::read(dir.join(name)).unwrap())));
    let (memory, disk) = (Bundle::from_files(files).unwrap(), Bundle::open(&dir).unwrap());
    assert_eq!((memory.digest, memory.files, memory.schema), (disk.digest, disk.files, disk.schema));
}

#[test]
fn a_schema_keeps_its_shape_through_json() {
    let schema = OnnxSchema::parse(&model("v2")).unwrap();
    let json = serde_json::to_value(&schema).unwrap();
    assert_eq!(json["inputs"][0]["elem_type"], "float32");
    assert_eq!(json["inputs"][0]["shape"], serde_json::json!([null, 64]));
    assert_eq!(serde_json::from_value::<OnnxSchema>(json).unwrap(), schema);
}

/// Ends of the top-level fields of a protobuf: where a cut leaves a valid, if poorer, message.
fn field_ends(bytes: &[u8]) -> Vec<usize> {
    fn varint(bytes: &[u8], at: &mut usize) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[*at];
            *at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    }
    let (mut at, mut ends) = (0, vec![0]);
    while at < bytes.len() {
        let tag = varint(bytes, &mut at);
        let value = varint(bytes, &mut at);
        at += if tag & 7 == 2 { value } else { 0 };
        ends.push(at);
    }
    ends
}

#[test]
fn cut_short_anywhere_is_an_error_that_says_so() {
    for version in ["v1", "v2"] {
        let bytes = model(version);
        let ends = field_ends(&bytes);
        for len in 0..bytes.len() {
            match OnnxSchema::parse(&bytes[..len]) {
                Err(Error::Onnx { message }) => {
                    assert!(len == 0 || message.contains("cut short") || message.contains("longer than"), "{len}: {message}");
                }
                Err(other) => panic!("{len}: {other}"),
                // A cut between two fields at the end leaves a whole message: graph and an operator set are there. That the
                // file is shorter than it was, its digest tells.
                Ok(schema) => assert!(ends.contains(&len) && schema.inputs.len() == 1, "{len} bytes were taken for a model"),
            }
        }
    }
}

#[test]
fn every_damaged_byte_is_an_error_or_another_schema_but_never_a_panic() {
    let bytes = model("v1");
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            if let Err(error) = OnnxSchema::parse(&damaged) {
                assert!(error.to_string().starts_with("model.onnx is not a readable ONNX model: "), "{error}");
            }
        }
    }
}

#[test]
fn what_is_no_onnx_is_refused() {
    for junk in [&b"not a model"[..], b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", &[0xff; 64], &[0; 1000]] {
        assert!(matches!(OnnxSchema::parse(junk), Err(Error::Onnx { .. })));
    }
}

fn open_with(name: &str, content: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("model.onnx"), model("v2")).unwrap();
    fs::write(dir.path().join(name), content).unwrap();
    Bundle::open(dir.path()).unwrap_err().to_string()
}

#[test]
fn a_folder_that_is_no_bundle_says_why() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Bundle::open(dir.path()).unwrap_err().to_string().contains("has no model.onnx"));
    assert!(Bundle::open(dir.path().join("absent")).unwrap_err().to_string().contains("absent"));
    assert!(open_with("weights.bin", b"").contains("\"weights.bin\""));
    assert!(open_with("model.onnx", &model("v2")[..5000]).contains("cut short"));
    assert!(open_with("edgeflow.yaml", b"v: 1\nlabels: [\"\xff\"]").contains("edgeflow.yaml:2:11: not UTF-8"));
    assert!(open_with("edgeflow.yaml", &vec![b'#'; (1 << 20) + 1]).contains("1048576"));
    fs::create_dir(dir.path().join("model.onnx")).unwrap();
    assert!(Bundle::open(dir.path()).unwrap_err().to_string().contains("model.onnx"));
    let twice = [("model.onnx".to_owned(), Source::Bytes(model("v1"))), ("model.onnx".to_owned(), Source::Bytes(model("v2")))];
    assert!(Bundle::from_files(twice).unwrap_err().to_string().contains("at most once"));
}

const MANIFEST: &str = include_str!("../../../sim/models/v2/edgeflow.yaml");

#[test]
fn a_manifest_that_does_not_parse_says_where() {
    for (from, to, expected) in [
        ("layout: flat", "lay_out: flat", "edgeflow.yaml:6:3: input: unknown field `lay_out`"),
        ("layout: flat", "layout: flatt", "edgeflow.yaml:6:"),
        ("v: 1\n", "", "missing field `v`"),
        ("labels: [", "labels: ]", "edgeflow.yaml:11:"),
        ("encoding: mono8", "encoding: mono9", "unknown variant `mono9`"),
    ] {
        assert!(MANIFEST.contains(from));
        let error = Manifest::parse(&MANIFEST.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.starts_with("edgeflow.yaml:") && error.contains(expected), "{error}");
    }
}

#[test]
fn a_manifest_that_makes_no_sense_names_the_key() {
    for (from, to, expected) in [
        ("v: 1", "v: 2", "v: 2 is a version"),
        ("width: 8", "width: 0", "input.resize.width: 0"),
        ("scale: 0.0627", "scale: 0.0", "input.scale: 0"),
        ("scale: 0.0627", "scale: .nan", "input.scale: NaN"),
        ("layout: flat", "layout: flat\n  mean: [1, 2]", "input.mean: has 2 values"),
        ("layout: flat", "layout: flat\n  std: [0]", "input.std: 0"),
        ("\"1\"", "\"0\"", "labels: \"0\" is there twice"),
        ("\"1\"", "\"\"", "labels: label 1 is empty"),
    ] {
        assert!(MANIFEST.contains(from));
        let error = Manifest::parse(&MANIFEST.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_manifest_that_does_not_fit_the_graph_is_refused() {
    for (from, to, expected) in [
        ("tensor: X", "tensor: Y", "`input.tensor` is \"Y\", but the graph's inputs are X"),
        (
            "width: 8",
            "width: 9",
            "X: float32[?, 64] does not take the image described (width x height 9x8, mono8, layout flat), which is X: float32[1, 72]",
        ),
        ("layout: flat", "layout: nchw", "which is X: float32[1, 1, 8, 8]"),
        ("mono8", "rgb8", "float32[1, 192]"),
        ("scores: probabilities", "scores: scores", "the graph's outputs are label, probabilities"),
        ("scores: probabilities", "scores: label", "label: int64[?]"),
        ("  scores: probabilities\n", "", "`output.scores` is missing"),
        (", \"9\"]", "]", "there are 9 labels, but output probabilities: float32[?, 10] has 10 scores"),
    ] {
        assert!(MANIFEST.contains(from));
        let error = open_with("edgeflow.yaml", MANIFEST.replacen(from, to, 1).as_bytes());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_manifest_survives_being_written() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    assert_eq!(Manifest::parse(&manifest.to_yaml().unwrap()).unwrap(), manifest);
    assert_eq!(manifest.input.unwrap().image().unwrap().std_of(2), 1.0);
}

#[test]
fn a_report_counts_what_a_label_reader_consists_of() {
    let report = edgeflow_bundle::GraphReport::read(model("v1").as_slice()).unwrap();
    assert_eq!(report.operators.into_iter().collect::<Vec<_>>(), [("ai.onnx.ml.TreeEnsembleClassifier".to_owned(), 1)]);
    assert_eq!((report.nodes, report.parameters, report.unestimated.len()), (1, 0, 0), "what it knows is in an attribute");
    assert!(edgeflow_bundle::GraphReport::read(&model("v1")[..1000]).is_err());
}
