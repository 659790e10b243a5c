//! Graphs that take and give tensors, without any manifest.

use edgeflow_inference::engine::{Engine, Provider, SessionOptions, ort::OrtBackend};
use edgeflow_inference::tensor::{Data, ElementType, Tensor};

use super::support::*;
use super::{black, load};

#[test]
fn a_graph_without_manifest_serves_tensors_of_every_kind() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    // sum = a + b, more = a > b, same = names: three output types, two number inputs and a string one.
    let onnx = model(
        &[node("Add", &["a", "b"], &["sum"]), node("Greater", &["a", "b"], &["more"]), node("Identity", &["names"], &["same"])],
        &[],
        &[value("a", INT64, &[0]), value("b", INT64, &[0]), value("names", STRING, &[2])],
        &[value("sum", INT64, &[0]), value("more", BOOL, &[0]), value("same", STRING, &[2])],
    );
    load(&engine, &request(&bundle(&dir.path().join("tensors"), &onnx, None))).unwrap();
    let model = engine.current().unwrap();
    assert!(!model.takes_images());
    let a = Tensor::new("a", vec![3], Data::I64(vec![1, 2, 3])).unwrap();
    let b = Tensor::new("b", vec![3], Data::I64(vec![3, 2, 1])).unwrap();
    let names = Tensor::new("names", vec![2], Data::String(vec!["x".into(), "y".into()])).unwrap();

    let got = model.infer_tensors(&[names.clone(), b.clone(), a.clone()]).unwrap();
    assert!(got.classification().is_none());
    let outputs: Vec<_> = got.outputs.iter().map(|t| (t.name.as_str(), t.shape.clone(), t.data.clone())).collect();
    assert_eq!(
        outputs,
        [
            ("sum", vec![3], Data::I64(vec![4, 4, 4])),
            ("more", vec![3], Data::Bool(vec![false, false, true])),
            ("same", vec![2], Data::String(vec!["x".into(), "y".into()])),
        ]
    );

    let wrong_type = Tensor::new("b", vec![3], Data::zeros(ElementType::F32, 3)).unwrap();
    let wrong_shape = Tensor::new("names", vec![1], Data::String(vec!["x".into()])).unwrap();
    let stranger = Tensor::new("c", vec![1], Data::I64(vec![1])).unwrap();
    let unequal = Tensor::new("b", vec![2], Data::I64(vec![1, 2])).unwrap();
    let cases: [(Vec<Tensor>, &str); 6] = [
        (vec![a.clone(), names.clone()], "tensor `b` refused: it is missing; the graph wants int64 of shape [-1]"),
        (vec![a.clone(), b.clone(), names.clone(), stranger], "tensor `c` refused: the graph has no such input; it takes a, b, names"),
        (vec![a.clone(), a.clone(), b.clone(), names.clone()], "tensor `a` refused: it is given twice"),
        (
            vec![a.clone(), wrong_type, names.clone()],
            "tensor `b` refused: expected int64 of shape [-1] (-1 is free), got float32 of shape [3]",
        ),
        (vec![a.clone(), b, wrong_shape], "tensor `names` refused: expected string of shape [2] (-1 is free), got string of shape [1]"),
        (vec![a, unequal, names], "inference failed"),
    ];
    for (tensors, want) in cases {
        let error = model.infer_tensors(&tensors).unwrap_err().to_string();
        assert!(error.contains(want), "`{error}` should contain `{want}`");
    }
    let error = model.infer_frame(&black().check().unwrap()).unwrap_err().to_string();
    assert!(error.contains("takes no images") && error.contains("edgeflow.yaml"), "{error}");
}

#[test]
fn every_element_type_goes_through_a_graph_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    let (half, brain) = (half::f16::from_f32, half::bf16::from_f32);
    let data = [
        Data::F32(vec![1.5, -0.0, f32::MAX]),
        Data::U8(vec![0, 1, 255]),
        Data::I8(vec![-128, 0, 127]),
        Data::U16(vec![0, 1, u16::MAX]),
        Data::I16(vec![i16::MIN, 0, 1]),
        Data::I32(vec![i32::MIN, 0, 1]),
        Data::I64(vec![i64::MIN, 0, i64::MAX]),
        Data::String(vec!["zürich".into(), String::new(), "b".into()]),
        Data::Bool(vec![true, false, true]),
        Data::F16(vec![half(1.5), half(-0.0), half(65504.0)]),
        Data::F64(vec![1e300, -0.0, 0.1]),
        Data::U32(vec![0, 1, u32::MAX]),
        Data::U64(vec![0, 1, u64::MAX]),
        Data::BF16(vec![brain(1.5), brain(-0.0), brain(3e38)]),
    ];
    assert_eq!(data.each_ref().map(|d| d.element_type()), *ElementType::ALL);
    for data in data {
        let ty = data.element_type();
        let code = u64::from(ty.onnx());
        let onnx = model(&[node("Identity", &["X"], &["Y"])], &[], &[value("X", code, &[0, 3])], &[value("Y", code, &[0, 3])]);
        load(&engine, &request(&bundle(&dir.path().join(ty.name()), &onnx, None))).unwrap();
        let model = engine.current().unwrap();
        assert_eq!((model.inputs()[0].type_name.as_str(), model.outputs()[0].element_type), (ty.name(), Some(ty)));
        let given = Tensor::new("X", vec![1, 3], data).unwrap();
        let got = model.infer_tensors(std::slice::from_ref(&given)).unwrap().outputs;
        assert_eq!(got, [Tensor { name: "Y".into(), ..given }]);
    }
}

#[test]
fn a_zip_map_becomes_a_table_of_scores_and_its_keys() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    let scores = Tensor::new("X", vec![2, 3], Data::F32(vec![0.5, 0.25, 0.25, 0.0, 1.0, 0.0])).unwrap();
    let numbers = Data::I64(vec![3, 5, 8]);
    let words = Data::String(["cat", "dog", "emu"].map(str::to_owned).to_vec());
    for (name, keys, type_name) in [("numbers", numbers, "seq(map(int64, float32))"), ("words", words, "seq(map(string, float32))")] {
        let onnx = zip_map_model(&keys);
        load(&engine, &request(&bundle(&dir.path().join(name), &onnx, None))).unwrap();
        let model = engine.current().unwrap();
        let output = &model.outputs()[0];
        assert_eq!(
            (output.type_name.as_str(), output.element_type, output.shape.as_slice()),
            (type_name, Some(ElementType::F32), &[-1, -1][..])
        );
        let got = model.infer_tensors(std::slice::from_ref(&scores)).unwrap().outputs;
        assert_eq!(got[0], Tensor { name: "output_probability".into(), ..scores.clone() });
        assert_eq!(got[1], Tensor::new("output_probability.keys", vec![3], keys).unwrap());
        assert_eq!(got.len(), 2);
    }
}

#[test]
fn a_graph_that_states_no_rank_takes_any_shape_and_names_the_type_it_wants() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    let onnx = model(&[node("Identity", &["X"], &["Y"])], &[], &[value_of_any_shape("X", FLOAT)], &[value_of_any_shape("Y", FLOAT)]);
    load(&engine, &request(&bundle(&dir.path().join("any"), &onnx, None))).unwrap();
    let model = engine.current().unwrap();
    for shape in [vec![], vec![1], vec![1, 1, 1]] {
        let x = Tensor::new("X", shape.clone(), Data::F32(vec![2.0])).unwrap();
        assert_eq!(model.infer_tensors(&[x]).unwrap().outputs[0].shape, shape);
    }
    let error = model.infer_tensors(&[Tensor::new("X", vec![1], Data::I64(vec![2])).unwrap()]).unwrap_err().to_string();
    assert!(error.contains("tensor `X` refused: expected float32 of any shape, got int64 of shape [1]"), "{error}");
}

#[test]
fn a_provider_the_library_lacks_is_refused_with_those_it_offers() {
    let dir = tempfile::tempdir().unwrap();
    let backend = std::sync::Arc::new(OrtBackend::find("").unwrap());
    let options = SessionOptions { providers: vec![Provider::Cuda, Provider::Cpu], ..SessionOptions::default() };
    let error = load(&Engine::new(backend.clone(), options), &request(&pixel_bundle(dir.path(), 0))).unwrap_err().to_string();
    assert!(error.contains("has no execution provider `cuda`, it offers cpu"), "{error}");
    // Threads in both directions, on the provider that is there.
    let options = SessionOptions { providers: vec![Provider::Cpu], intra_op_threads: 2, inter_op_threads: 2, ..SessionOptions::default() };
    let engine = Engine::new(backend, options);
    load(&engine, &request(&pixel_bundle(dir.path(), 0))).unwrap();
    assert_eq!(super::label(&engine, &black()), "a");
}

#[test]
fn outputs_are_the_callers_own_although_their_memory_is_reused() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    // `doubled` says its shape, which is true for one row only; `sum` leaves it open; `above` says it truly.
    let onnx = model(
        &[node("Add", &["x", "x"], &["doubled"]), node("Add", &["x", "y"], &["sum"]), node("Relu", &["y"], &["above"])],
        &[],
        &[value("x", FLOAT, &[0, 2]), value("y", FLOAT, &[1, 2])],
        &[value("doubled", FLOAT, &[1, 2]), value("sum", FLOAT, &[0, 2]), value("above", FLOAT, &[1, 2])],
    );
    load(&engine, &request(&bundle(&dir.path().join("said"), &onnx, None))).unwrap();
    let model = engine.current().unwrap();
    let run = |x: &[f32], y: [f32; 2]| {
        let x = Tensor::new("x", vec![x.len() as i64 / 2, 2], Data::F32(x.to_vec())).unwrap();
        let y = Tensor::new("y", vec![1, 2], Data::F32(y.to_vec())).unwrap();
        model.infer_tensors(&[x, y]).unwrap().outputs.into_iter().map(|t| (t.shape, t.data)).collect::<Vec<_>>()
    };
    let row = |values: [f32; 2]| (vec![1, 2], Data::F32(values.to_vec()));
    let first = run(&[1.0, 2.0], [-1.0, 5.0]);
    let second = run(&[3.0, 4.0], [6.0, -7.0]);
    assert_eq!(first, [row([2.0, 4.0]), row([0.0, 7.0]), row([0.0, 5.0])]);
    assert_eq!(second, [row([6.0, 8.0]), row([9.0, -3.0]), row([6.0, 0.0])]);
    // More rows than the graph says there are: what it gives counts.
    for _ in 0..2 {
        let more = run(&[1.0, 2.0, 3.0, 4.0], [0.0, 1.0]);
        assert_eq!(more[0], (vec![2, 2], Data::F32(vec![2.0, 4.0, 6.0, 8.0])));
        assert_eq!(more[1], (vec![2, 2], Data::F32(vec![1.0, 3.0, 3.0, 5.0])));
        assert_eq!(run(&[3.0, 4.0], [6.0, -7.0]), second);
    }
}
