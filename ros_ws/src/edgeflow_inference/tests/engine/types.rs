//! Element types that `ort` cannot move: cast on the way where the runtime has them, refused by name where nothing has.

use std::path::Path;

use edgeflow_inference::engine::{IoBinding, Model, SessionOptions};
use edgeflow_inference::tensor::{Data, ElementType, Tensor};

use super::load;
use super::support::*;

/// `onnx.TensorProto.DataType`.
const COMPLEX64: u64 = 14;
const COMPLEX128: u64 = 15;
const FLOAT8E4M3FN: u64 = 17;
const FLOAT8E4M3FNUZ: u64 = 18;
const FLOAT8E5M2: u64 = 19;
const FLOAT8E5M2FNUZ: u64 = 20;
const UINT4: u64 = 21;
const INT4: u64 = 22;

fn newest(nodes: &[Proto], inputs: &[Proto], outputs: &[Proto]) -> Vec<u8> {
    model_of(21, 10, nodes, &[], inputs, outputs)
}

fn loaded(dir: &Path, onnx: &[u8], io_binding: IoBinding) -> std::sync::Arc<Model> {
    let engine = engine_with(SessionOptions { io_binding, ..SessionOptions::default() });
    load(&engine, &request(&bundle(dir, onnx, None))).unwrap();
    engine.current().unwrap()
}

fn refusal(dir: &Path, onnx: &[u8]) -> String {
    load(&engine(), &request(&bundle(dir, onnx, None))).unwrap_err().to_string()
}

#[test]
fn floats_of_8_bits_go_as_float32_and_come_back_as_the_nearest_there_is() {
    let dir = tempfile::tempdir().unwrap();
    // As the definitions of the formats say: 3 or 2 bits behind the point, and the greatest number.
    for (code, name, expected) in [
        (FLOAT8E4M3FN, "float8e4m3fn", [0.1015625, -2.5, 0.0, 448.0]),
        (FLOAT8E4M3FNUZ, "float8e4m3fnuz", [0.1015625, -2.5, 0.0, 240.0]),
        (FLOAT8E5M2, "float8e5m2", [0.09375, -2.5, 0.0, 57344.0]),
        (FLOAT8E5M2FNUZ, "float8e5m2fnuz", [0.09375, -2.5, 0.0, 57344.0]),
    ] {
        let onnx = newest(&[node("Identity", &["X"], &["Y"])], &[value_named("X", code, &["n"])], &[value_named("Y", code, &["n"])]);
        for io_binding in [IoBinding::Never, IoBinding::Always] {
            let model = loaded(&dir.path().join(name), &onnx, io_binding);
            for spec in [&model.inputs()[0], &model.outputs()[0]] {
                assert_eq!((spec.type_name.clone(), spec.element_type), (format!("float32 for {name}"), Some(ElementType::F32)));
            }
            for _ in 0..2 {
                let given = Tensor::new("X", vec![4], Data::F32(vec![0.1, -2.5, 0.0, 1e9])).unwrap();
                assert_eq!(model.infer_tensors(&[given]).unwrap().outputs[0].data, Data::F32(expected.to_vec()), "{name}");
            }
            let wrong = Tensor::new("X", vec![1], Data::U8(vec![0])).unwrap();
            let error = model.infer_tensors(&[wrong]).unwrap_err().to_string();
            assert!(error.contains(&format!("expected float32 for {name} of shape [-1] (-1 is free), got uint8")), "{error}");
        }
    }
}

#[test]
fn integers_of_4_bits_go_as_8_and_what_does_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (INT4, "int4", Data::I8(vec![-8, -1, 7]), Data::I8(vec![0, 0, 8]), "8 is no int4"),
        (UINT4, "uint4", Data::U8(vec![0, 9, 15]), Data::U8(vec![16, 0, 0]), "16 is no uint4"),
    ];
    for (code, name, fits, beyond, want) in cases {
        // The graph itself makes them floats and back.
        let onnx = newest(
            &[cast("X", "wide", FLOAT), cast("wide", "Y", code)],
            &[value_named("X", code, &["3"])],
            &[value_named("Y", code, &["3"]), value_named("wide", FLOAT, &["3"])],
        );
        for io_binding in [IoBinding::Never, IoBinding::Always] {
            let model = loaded(&dir.path().join(name), &onnx, io_binding);
            for _ in 0..2 {
                let given = Tensor::new("X", vec![3], fits.clone()).unwrap();
                let got = model.infer_tensors(&[given]).unwrap().outputs;
                assert_eq!((&got[0].data, got[1].data.to_f64()), (&fits, fits.to_f64()), "{name}");
                let error = model.infer_tensors(&[Tensor::new("X", vec![3], beyond.clone()).unwrap()]).unwrap_err().to_string();
                assert_eq!(error, format!("tensor `X` refused: {want}"));
            }
        }
    }
}

#[test]
fn complex_numbers_which_onnxruntime_does_not_have_are_refused_by_name_with_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    for (code, name) in [(COMPLEX64, "complex64"), (COMPLEX128, "complex128")] {
        let same = node("Identity", &["X"], &["Y"]);
        let both = newest(&[same], &[value_named("X", code, &["3"])], &[value_named("Y", code, &["3"])]);
        let error = refusal(&dir.path().join(name), &both);
        assert!(error.starts_with(&format!("input `X` of model.onnx is {name}")), "{error}");
        assert!(error.contains("real and imaginary parts in a last dimension of 2"), "{error}");
        let out = newest(&[cast("X", "Y", code)], &[value_named("X", FLOAT, &["3"])], &[value_named("Y", code, &["3"])]);
        let error = refusal(&dir.path().join(format!("{name}-out")), &out);
        assert!(error.starts_with(&format!("output `Y` of model.onnx is {name}")), "{error}");
    }
}

/// A graph input or output that is a sequence of tensors, or an optional one.
fn wrapped(name: &str, field: u64) -> Proto {
    let tensor = Proto::default().message(1, &Proto::default().int(1, FLOAT));
    Proto::default().text(1, name).message(2, &Proto::default().message(field, &Proto::default().message(1, &tensor)))
}

#[test]
fn values_that_are_no_tensors_are_named_with_what_to_do_to_the_graph() {
    const SEQUENCE: u64 = 4;
    const OPTIONAL: u64 = 9;
    let dir = tempfile::tempdir().unwrap();
    let x = || value_named("X", FLOAT, &["2", "3"]);
    let split = || node("SplitToSequence", &["X"], &["parts"]);
    let error = refusal(&dir.path().join("only"), &newest(&[split()], &[x()], &[wrapped("parts", SEQUENCE)]));
    assert_eq!(
        error,
        "output `parts` of model.onnx is seq(float32), which cannot be moved: take the sequence apart in the graph (SequenceAt, \
         ConcatFromSequence) or make it there (SequenceConstruct), so that tensors go in and out"
    );
    let joined = node("ConcatFromSequence", &["parts"], &["Y"]).message(5, &Proto::default().text(1, "axis").int(3, 0).int(20, 2));
    let onnx = newest(&[joined], &[wrapped("parts", SEQUENCE)], &[value_named("Y", FLOAT, &["rows", "3"])]);
    let error = refusal(&dir.path().join("in"), &onnx);
    assert!(error.starts_with("input `parts` of model.onnx is seq(float32), which cannot be moved"), "{error}");
    let optional = node("Optional", &["X"], &["maybe"]);
    let error = refusal(&dir.path().join("maybe"), &newest(&[optional], &[x()], &[wrapped("maybe", OPTIONAL)]));
    assert!(error.starts_with("output `maybe` of model.onnx is optional(float32)") && error.contains("OptionalGetElement"), "{error}");

    // Beside an output that can be read it is left out.
    let onnx =
        newest(&[split(), node("Relu", &["X"], &["Y"])], &[x()], &[wrapped("parts", SEQUENCE), value_named("Y", FLOAT, &["2", "3"])]);
    for io_binding in [IoBinding::Never, IoBinding::Always] {
        let model = loaded(&dir.path().join("beside"), &onnx, io_binding);
        let given = Tensor::new("X", vec![2, 3], Data::F32(vec![1.0; 6])).unwrap();
        let got = model.infer_tensors(std::slice::from_ref(&given)).unwrap().outputs;
        assert_eq!(got, [Tensor { name: "Y".into(), ..given }]);
    }
}
