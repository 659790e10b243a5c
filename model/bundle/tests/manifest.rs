//! `edgeflow.yaml`: every decoder's keys, against graphs that fit and graphs that do not.

#![allow(clippy::unwrap_used, clippy::panic)] // a test that cannot go on may panic

use edgeflow_bundle::{ElemType, Manifest, OnnxSchema, OutputSpec, ValueInfo, ValueKind, check_manifest};

const README: &str = include_str!("../README.md");

#[test]
fn every_manifest_of_the_reference_parses_and_survives_being_written() {
    let blocks: Vec<&str> = README.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 6);
    for block in blocks {
        let manifest = Manifest::parse(block).unwrap_or_else(|error| panic!("{error} in\n{block}"));
        assert_eq!(Manifest::parse(&manifest.to_yaml().unwrap()).unwrap(), manifest, "{block}");
    }
}

fn value(name: &str, elem_type: ElemType, shape: &[i64]) -> ValueInfo {
    let shape = shape.iter().map(|d| (*d >= 0).then_some(*d)).collect();
    ValueInfo { name: name.into(), kind: ValueKind::Tensor, elem_type, shape, rank_known: true }
}

fn graph(outputs: Vec<ValueInfo>) -> OnnxSchema {
    OnnxSchema {
        inputs: vec![value("X", ElemType::Float32, &[1, 3, 64, 64])],
        outputs,
        opset: 17,
        domains: Vec::new(),
        producer: String::new(),
        producer_version: String::new(),
        ir_version: 8,
        metadata: Vec::new(),
    }
}

fn manifest(output: &str) -> String {
    format!("v: 1\ninput: {{encoding: rgb8, resize: {{width: 64, height: 64}}, layout: nchw}}\noutput: {{{output}}}\nlabels: [a, b]\n")
}

/// What is wrong with a manifest for a graph; empty: nothing.
fn verdict(output: &str, outputs: Vec<ValueInfo>) -> String {
    let manifest = Manifest::parse(&manifest(output)).unwrap();
    check_manifest(&graph(outputs), &manifest).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn decoders_take_the_graphs_they_are_for_and_refuse_others() {
    use ElemType::{Float32 as F, Int64 as I};
    let yolov8 = "decode: detection, format: yolov8";
    let ssd = "decode: detection, format: ssd, boxes: b, scores: s";
    let classed = "decode: detection, format: ssd, boxes: b, scores: s, classes: c";
    let detr = "decode: detection, format: detr, boxes: b, scores: s";
    let sigmoid = "decode: detection, format: detr, boxes: b, scores: s, activation: sigmoid";
    let segmentation = "decode: segmentation";
    let tensors = "decode: regression, tensors: [y]";
    let one = |ty, shape: &[i64]| vec![value("y", ty, shape)];
    let two = |boxes: &[i64], scores: &[i64]| vec![value("b", F, boxes), value("s", F, scores)];
    let cases: Vec<(&str, Vec<ValueInfo>, &str)> = vec![
        ("decode: detection, format: yolov5", one(F, &[1, 100, 7]), ""),
        ("decode: detection, format: yolov5", one(F, &[1, 7, 100]), "has 95 classes"),
        ("decode: detection, format: yolov5", one(F, &[1, 100, 5]), "the output of yolov5 has the shape [1, boxes, 5 + classes]"),
        (yolov8, one(F, &[1, 6, -1]), ""),
        (yolov8, one(F, &[-1, -1, -1]), ""),
        (yolov8, one(F, &[1, 7, 100]), "there are 2 labels, but output y: float32[1, 7, 100] has 3 classes"),
        (yolov8, one(F, &[2, 6, 100]), "has the shape [1, 4 + classes, boxes], but the graph's output is y: float32[2, 6, 100]"),
        (yolov8, one(I, &[1, 6, 100]), "is a tensor of floats, but the graph's output is y: int64[1, 6, 100]"),
        (yolov8, two(&[1, 6, 9], &[1, 9]), "`output.tensor` is missing and the graph's outputs are b, s"),
        ("decode: detection, format: yolov10", one(F, &[1, 300, 6]), ""),
        ("decode: detection, format: yolov10", one(F, &[1, 300, 7]), "has the shape [1, boxes, 6]"),
        (ssd, two(&[1, 9, 4], &[1, 9, 2]), ""),
        (ssd, two(&[9, 4], &[9, 2]), ""),
        (ssd, two(&[1, 9, 4], &[1, 9, 3]), "has 3 classes"),
        (ssd, two(&[1, 9, 5], &[1, 9, 2]), "`output.boxes` of ssd has the shape [1, boxes, 4]"),
        (ssd, one(F, &[1, 9, 4]), "`output.boxes` is \"b\", but the graph's outputs are y"),
        (classed, [two(&[1, 9, 4], &[1, 9]), vec![value("c", I, &[1, 9])]].concat(), ""),
        (classed, [two(&[9, 4], &[9]), vec![value("c", F, &[9])]].concat(), ""),
        (classed, [two(&[1, 9, 4], &[1, 9, 2]), vec![value("c", F, &[1, 9])]].concat(), "beside `output.classes` has the shape [1, boxes]"),
        (classed, two(&[1, 9, 4], &[1, 9]), "`output.classes` is \"c\", but the graph's outputs are b, s"),
        (detr, two(&[1, 9, 4], &[1, 9, 3]), ""),
        (detr, two(&[1, 9, 4], &[1, 9, 2]), "has 1 classes"),
        (sigmoid, two(&[1, 9, 4], &[1, 9, 2]), ""),
        (segmentation, one(F, &[1, 2, 16, 16]), ""),
        (segmentation, one(F, &[1, 1, -1, -1]), ""),
        (segmentation, one(I, &[1, 64, 64]), ""),
        (segmentation, one(F, &[1, 64, 64]), "segmentation reads scores [1, classes, height, width]"),
        (segmentation, one(F, &[1, 5, 16, 16]), "there are 2 labels, but output y: float32[1, 5, 16, 16] has 5 classes"),
        (segmentation, one(I, &[1, 2, 16, 16]), "segmentation reads"),
        (tensors, one(F, &[1, 8]), ""),
        (tensors, two(&[1], &[1]), "`output.tensors` is \"y\", but the graph's outputs are b, s"),
    ];
    for (output, outputs, want) in cases {
        let shown: Vec<String> = outputs.iter().map(ToString::to_string).collect();
        let got = verdict(output, outputs);
        assert!(if want.is_empty() { got.is_empty() } else { got.contains(want) }, "{output} on {shown:?}: {got:?}");
    }
}

#[test]
fn keys_that_mean_nothing_together_are_refused() {
    let resize = |resize: &str| format!("v: 1\ninput: {{encoding: rgb8, resize: {{width: 4, height: 4{resize}}}, layout: nchw}}\n");
    let output = |text: &str| manifest(text);
    for (text, want) in [
        (resize(", pad_value: 3"), "input.resize.pad_value: means something with `mode: letterbox` only"),
        (resize(", mode: centre_crop, anchor: centre"), "input.resize.anchor"),
        (resize(", mode: letterbox, crop_fraction: 0.5"), "input.resize.crop_fraction"),
        (resize(", mode: letterbox, pad_value: 256"), "256 is no pixel of rgb8; give 0 to 255"),
        (resize(", mode: centre_crop, crop_fraction: 0"), "must be more than 0"),
        ("v: 1\ninput: {encoding: 32FC1, layout: nchw, invert: true}\n".into(), "32FC1 has no greatest value"),
        (output("decode: detection, format: yolov8, boxes: b"), "output.boxes: means nothing in the format yolov8"),
        (output("decode: detection, format: detr, boxes: b, scores: s, corners: xyxy"), "output.corners"),
        (output("decode: detection, format: ssd, boxes: b"), "output.scores: is missing"),
        (output("decode: detection, format: yolov5, score_threshold: 1.5"), "output.score_threshold: 1.5 is out of range"),
        (output("decode: detection, format: yolov5, iou_threshold: -0.1"), "output.iou_threshold: -0.1"),
        (output("decode: detection, format: yolov5, max_detections: 0"), "output.max_detections: 0"),
        (output("decode: detection, format: yolov5, activation: softmax"), "output.activation: softmax needs"),
        (output("decode: detection, format: yolov9"), "unknown variant `yolov9`"),
        (output("decode: classification, top_k: 0"), "output.top_k"),
        (output("decode: classification, iou_threshold: 0.5"), "unknown field `iou_threshold`"),
        (output("decode: segmentation, activation: softmax"), "output.activation"),
        (output("decode: embedding, tensors: [a, a]"), "output.tensors: \"a\" is there twice"),
        (output("decode: poetry"), "unknown variant `poetry`"),
        ("v: 1\noutput: {decode: segmentation}\n".into(), "output.decode: boxes and label images are in a frame's pixels"),
    ] {
        let error = Manifest::parse(&text).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("edgeflow.yaml:") && error.contains(want), "{text}: {error}");
    }
}

#[test]
fn defaults_follow_the_format() {
    let detection = |text: &str| match Manifest::parse(&manifest(text)).unwrap().output.unwrap() {
        OutputSpec::Detection(spec) => spec,
        other => panic!("{other:?}"),
    };
    let spec = detection("decode: detection, format: yolov8");
    assert_eq!((spec.iou_threshold(), spec.score_threshold, spec.max_detections), (0.45, 0.25, 300));
    let spec = detection("decode: detection, format: detr, boxes: b, scores: s");
    assert_eq!((spec.iou_threshold(), spec.has_no_object_class()), (1.0, true));
}

/// What is wrong with an `input` for a graph with these inputs; empty: nothing.
fn input_verdict(input: &str, inputs: Vec<ValueInfo>) -> String {
    let parsed = Manifest::parse(&format!("v: 1\ninput: {{{input}}}\n")).and_then(|manifest| {
        let graph = OnnxSchema { inputs, ..graph(Vec::new()) };
        check_manifest(&graph, &manifest)
    });
    parsed.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn tables_take_the_graphs_they_are_for_and_refuse_others() {
    use ElemType::{Float16, Float32 as F, Float64, Int64 as I};
    let one = |ty, shape: &[i64]| vec![value("x", ty, shape)];
    let cloud = "kind: point_cloud, fields: [x, y, z], points: 8";
    let open = "kind: point_cloud, fields: [x, y, z]";
    let imu = "kind: imu, window: 50";
    let joints = "kind: joint_state, joints: [a, b], fields: [position, velocity], layout: flat";
    let array = "kind: array, elements: 3, window: 2";
    for (input, inputs, want) in [
        (cloud.to_owned(), one(F, &[1, 8, 3]), ""),
        (format!("{cloud}, layout: columns_rows"), one(Float64, &[-1, 3, 8]), ""),
        (format!("{cloud}, layout: flat"), one(Float16, &[1, 24]), ""),
        (open.to_owned(), one(F, &[1, 1024, 3]), ""),
        (open.to_owned(), one(F, &[1, -1, 3]), ""),
        (
            open.to_owned(),
            one(F, &[1, -1, 4]),
            "point_cloud described (as many rows of 3 numbers, layout rows_columns), which is x: float32[1, ?, 3]",
        ),
        (cloud.to_owned(), one(F, &[1, 3, 8]), "input x: float32[1, 3, 8] does not take the point_cloud described (8 rows of 3 numbers"),
        (
            cloud.to_owned(),
            one(I, &[1, 8, 3]),
            "point_cloud becomes a tensor of float32, float16 or float64, but the graph's input is x: int64",
        ),
        (format!("{cloud}, tensor: y"), one(F, &[1, 8, 3]), "`input.tensor` is \"y\", but the graph's inputs are x"),
        (imu.to_owned(), one(F, &[-1, 50, 6]), ""),
        (imu.to_owned(), one(F, &[-1, 50, 3]), "(50 rows of 6 numbers"),
        (joints.to_owned(), one(F, &[1, 4]), ""),
        (joints.to_owned(), one(F, &[1, 2]), "which is x: float32[1, 4]"),
        (array.to_owned(), one(F, &[1, 2, 3]), ""),
        (
            array.to_owned(),
            vec![value("x", F, &[1, 2, 3]), value("y", F, &[1])],
            "`input.tensor` is missing and the graph's inputs are x, y",
        ),
    ] {
        let shown: Vec<String> = inputs.iter().map(ToString::to_string).collect();
        let got = input_verdict(&input, inputs);
        assert!(if want.is_empty() { got.is_empty() } else { got.contains(want) }, "{input} on {shown:?}: {got:?}");
    }
}

#[test]
fn tables_that_make_no_sense_name_the_key() {
    for (input, want) in [
        ("kind: lidar", "unknown variant `lidar`, expected one of `image`, `point_cloud`"),
        ("kind: image, encoding: rgb8, layout: nchw, fields: [x]", "unknown field `fields`"),
        ("kind: point_cloud, points: 3", "missing field `fields`"),
        ("kind: point_cloud, fields: []", "input.fields: is empty"),
        ("kind: point_cloud, fields: [x, x]", "input.fields: \"x\" is there twice"),
        ("kind: point_cloud, fields: [\"\"]", "is no name of a field"),
        ("kind: point_cloud, fields: [x], points: 0", "input.points: 0 is out of range"),
        ("kind: point_cloud, fields: [x], window: 3", "unknown field `window`"),
        ("kind: point_cloud, fields: [x], when_more: shuffle", "unknown variant `shuffle`"),
        ("kind: point_cloud, fields: [x, y], scale: [1, 2, 3]", "input.scale: has 3 values; give 1, or 2 for the columns"),
        ("kind: point_cloud, fields: [x], scale: [0]", "input.scale: 0 would make every number the same"),
        ("kind: point_cloud, fields: [x], std: [0]", "input.std: 0 cannot be divided by"),
        ("kind: point_cloud, fields: [x], mean: [.inf]", "input.mean: inf is no finite number"),
        ("kind: imu, window: 0", "input.window: 0 is out of range"),
        ("kind: imu, stride: 0", "input.stride: 0"),
        ("kind: imu, max_gap_s: 0", "input.max_gap_s: 0 is out of range"),
        ("kind: imu, rate_hz: 0", "input.rate_hz: 0 is out of range"),
        ("kind: imu, rate_hz: .nan", "input.rate_hz: NaN is out of range"),
        ("kind: imu, rate_hz: 50, fields: [orientation.w]", "input.rate_hz: orientation.w does not lie on a straight line"),
        ("kind: array, elements: 1, rate_hz: 50", "rate_hz"),
        ("kind: imu, fields: [magnetic_field.x]", "unknown variant `magnetic_field.x`"),
        ("kind: imu, windw: 3", "unknown field `windw`"),
        ("kind: joint_state, joints: [a, a]", "input.joints: \"a\" is there twice"),
        ("kind: joint_state, joints: []", "input.joints: is empty"),
        ("kind: array, elements: 0", "input.elements: 0 is out of range"),
    ] {
        let got = input_verdict(input, vec![value("x", ElemType::Float32, &[1])]);
        assert!(got.starts_with("edgeflow.yaml:") && got.contains(want), "{input}: {got:?}");
    }
    let boxes = "v: 1\ninput: {kind: imu}\noutput: {decode: segmentation}\n";
    let error = Manifest::parse(boxes).map(drop).unwrap_err().to_string();
    assert!(error.contains("output.decode: boxes and label images are in a frame's pixels"), "{error}");
}

#[test]
fn what_an_image_does_not_fill_is_a_constant() {
    let inputs = || vec![value("X", ElemType::Float32, &[1, 3, 64, 64]), value("size", ElemType::Int64, &[1, 2])];
    let verdict = |constants: &str| {
        let text = format!(
            "v: 1\ninput: {{tensor: X, encoding: rgb8, resize: {{width: 64, height: 64}}, layout: nchw}}\nconstants: [{constants}]\n"
        );
        let manifest = Manifest::parse(&text).unwrap();
        check_manifest(&OnnxSchema { inputs: inputs(), ..graph(Vec::new()) }, &manifest).err().map(|e| e.to_string()).unwrap_or_default()
    };
    let size = "{name: size, shape: [1, 2], data: [64, 64]}";
    assert_eq!(verdict(size), "");
    for (constants, want) in [
        (String::new(), "fills one input (X) but the graph also wants size; give what is always the same as `constants`"),
        ("{name: X, shape: [1], data: [0]}".to_owned(), "the graph also wants size"),
        (
            format!("{size}, {{name: X, shape: [1], data: [0]}}"),
            "`constants` has \"X\", but the inputs beside the one that is filled are size",
        ),
        (format!("{size}, {size}"), "`constants` has \"size\" twice"),
        (
            "{name: size, shape: [2], data: [64, 64]}".to_owned(),
            "constant \"size\" has the shape [2], but the graph's input is size: int64[1, 2]",
        ),
        ("{name: size, shape: [1, 2], data: [64]}".to_owned(), "constant \"size\" has shape [1, 2], but 1 elements"),
        ("{name: size, shape: [1, 2], data: [a, b]}".to_owned(), "but its elements are of another type"),
    ] {
        let got = verdict(&constants);
        assert!(got.contains(want), "{constants}: {got:?}");
    }
    let alone = Manifest::parse(&format!("v: 1\nconstants: [{size}]\n")).map(drop).unwrap_err().to_string();
    assert!(alone.contains("constants: mean something beside `input` only"), "{alone}");
}
