//! I/O binding changes where inputs and outputs lie, and nothing else.

use std::path::Path;
use std::sync::Arc;

use edgeflow_inference::Error;
use edgeflow_inference::engine::{IoBinding, Model, SessionOptions};
use edgeflow_inference::tensor::{Data, ElementType, Tensor};

use super::load;
use super::support::*;

/// The same graph with binding and without.
fn both(dir: &Path, onnx: &[u8]) -> [Arc<Model>; 2] {
    let path = bundle(dir, onnx, None);
    [IoBinding::Always, IoBinding::Never].map(|io_binding| {
        let engine = engine_with(SessionOptions { io_binding, ..SessionOptions::default() });
        load(&engine, &request(&path)).unwrap();
        let model = engine.current().unwrap();
        assert_eq!(model.binds(), io_binding == IoBinding::Always);
        model
    })
}

fn floats_of(name: &str, shape: &[i64], first: f32) -> Tensor {
    let count = shape.iter().product::<i64>();
    Tensor::new(name, shape.to_vec(), Data::F32((0..count).map(|i| first + i as f32).collect())).unwrap()
}

fn outputs(model: &Model, given: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    model.infer_tensors(given).map(|inference| inference.outputs)
}

#[test]
fn it_is_for_providers_with_memory_of_their_own_unless_one_says_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let engine = engine();
    load(&engine, &request(&pixel_bundle(dir.path(), 0))).unwrap();
    assert!(!engine.current().unwrap().binds(), "the CPU's is the caller's");
    for (name, expected) in IoBinding::NAMES.into_iter().zip([IoBinding::Auto, IoBinding::Always, IoBinding::Never]) {
        assert_eq!(IoBinding::from_name(name), Some(expected));
    }
    assert_eq!(IoBinding::from_name("on"), None);
}

/// sum = a + b by rows, more = a > b, same = names, fixed = max(0, c), all of them together.
fn many_ends() -> Vec<u8> {
    let nodes = [
        node("Add", &["a", "b"], &["sum"]),
        node("Greater", &["a", "b"], &["more"]),
        node("Identity", &["names"], &["same"]),
        node("Relu", &["c"], &["fixed"]),
    ];
    model(
        &nodes,
        &[],
        &[
            value_named("a", FLOAT, &["batch", "3"]),
            value_named("b", FLOAT, &["batch", "3"]),
            value_named("names", STRING, &["words"]),
            value_named("c", FLOAT, &["2", "2"]),
        ],
        &[
            value_named("sum", FLOAT, &["batch", "3"]),
            value_named("more", BOOL, &["batch", "3"]),
            value_named("same", STRING, &["words"]),
            value_named("fixed", FLOAT, &["2", "2"]),
        ],
    )
}

#[test]
fn answers_are_the_same_for_inputs_and_batches_that_change_from_call_to_call() {
    let dir = tempfile::tempdir().unwrap();
    let [bound, plain] = both(dir.path(), &many_ends());
    let mut before: Option<(Vec<Tensor>, Vec<Tensor>)> = None;
    for call in 0..60 {
        // Several calls of one size, then of another; a batch of none among them.
        let rows = [2, 2, 5, 1, 0][call / 3 % 5];
        let first = call as f32;
        let words = (0..call % 4).map(|word| format!("word {word} of call {call}")).collect::<Vec<_>>();
        let given = [
            floats_of("a", &[rows, 3], first),
            floats_of("b", &[rows, 3], 60.0 - first),
            Tensor::new("names", vec![words.len() as i64], Data::String(words.clone())).unwrap(),
            Tensor::new("c", vec![2, 2], Data::F32(vec![first, -first, 0.5, -0.5])).unwrap(),
        ];
        let got = outputs(&bound, &given).unwrap();
        assert_eq!(got, outputs(&plain, &given).unwrap(), "call {call}");
        let sum = (0..rows * 3).map(|i| 60.0 + 2.0 * i as f32).collect();
        assert_eq!((&got[0].shape, &got[0].data), (&vec![rows, 3], &Data::F32(sum)), "call {call}");
        assert_eq!(got[1].data, Data::Bool(vec![first > 60.0 - first; rows as usize * 3]), "call {call}");
        assert_eq!(got[2].data, Data::String(words), "call {call}");
        assert_eq!(got[3].data, Data::F32(vec![first, 0.0, 0.5, 0.0]), "call {call}");
        // What was given out before is the caller's own.
        if let Some((kept, copy)) = before.replace((got.clone(), got)) {
            assert_eq!(kept, copy);
        }
    }
}

#[test]
fn outputs_of_shapes_that_only_the_run_tells_are_brought_by_the_runtime() {
    let dir = tempfile::tempdir().unwrap();
    // Where X is not zero; an input as it came; a constant; a number without dimensions.
    let onnx = model(
        &[node("NonZero", &["X"], &["places"]), node("Identity", &["X"], &["again"]), node("Size", &["X"], &["count"])],
        &[floats("constant", &[2], &[7.0, 8.0])],
        &[value_named("X", FLOAT, &["n"])],
        &[
            value_named("places", INT64, &["1", "found"]),
            value_named("again", FLOAT, &["n"]),
            value_named("constant", FLOAT, &["2"]),
            value_named("count", INT64, &[]),
        ],
    );
    let [bound, plain] = both(dir.path(), &onnx);
    for values in [vec![0.0, 1.0, 2.0], vec![0.0, 0.0, 0.0], vec![3.0, 4.0, 5.0], vec![1.0], vec![1.0, 0.0, 9.0]] {
        let places: Vec<i64> = (0..values.len() as i64).filter(|i| values[*i as usize] != 0.0).collect();
        let given = [Tensor::new("X", vec![values.len() as i64], Data::F32(values.clone())).unwrap()];
        let got = outputs(&bound, &given).unwrap();
        assert_eq!(got, outputs(&plain, &given).unwrap());
        assert_eq!((&got[0].shape, &got[0].data), (&vec![1, places.len() as i64], &Data::I64(places)));
        assert_eq!(got[1].data, Data::F32(values.clone()));
        assert_eq!(got[2].data, Data::F32(vec![7.0, 8.0]));
        assert_eq!((got[3].shape.len(), &got[3].data), (0, &Data::I64(vec![values.len() as i64])));
    }
}

#[test]
fn sequences_of_maps_and_every_element_type_come_as_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let keys = Data::String(["cat", "dog"].map(str::to_owned).to_vec());
    let [bound, plain] = both(&dir.path().join("maps"), &zip_map_model(&keys));
    for rows in [1, 3, 3, 2] {
        let given = [floats_of("X", &[rows, 2], rows as f32)];
        let got = outputs(&bound, &given).unwrap();
        assert_eq!(got, outputs(&plain, &given).unwrap());
        assert_eq!((&got[0].data, &got[1].data), (&given[0].data, &keys));
    }
    for ty in ElementType::ALL {
        let code = u64::from(ty.onnx());
        let onnx = model(&[node("Identity", &["X"], &["Y"])], &[], &[value("X", code, &[0, 2])], &[value("Y", code, &[0, 2])]);
        let [bound, _] = both(&dir.path().join(ty.name()), &onnx);
        let ones = match ty {
            ElementType::String => Data::String(vec!["one".into(), "two".into()]),
            ElementType::Bool => Data::Bool(vec![true, false]),
            _ => Data::from_le_bytes(*ty, &[1; 16][..2 * ty.size_bytes().unwrap()]),
        };
        for data in [ones.clone(), Data::zeros(*ty, 2), ones] {
            let given = Tensor::new("X", vec![1, 2], data).unwrap();
            assert_eq!(outputs(&bound, std::slice::from_ref(&given)).unwrap(), [Tensor { name: "Y".into(), ..given }], "{ty}");
        }
    }
}

#[test]
fn a_graph_that_tells_wrong_shapes_is_believed_no_more() {
    let dir = tempfile::tempdir().unwrap();
    // Twice as many rows as the name of the dimension says, and one row only by chance.
    let onnx = model(
        &[
            node("Concat", &["X", "X"], &["twice"]).message(5, &Proto::default().text(1, "axis").int(3, 0).int(20, 2)),
            node("Relu", &["X"], &["one"]),
        ],
        &[],
        &[value_named("X", FLOAT, &["batch", "2"])],
        &[value_named("twice", FLOAT, &["batch", "2"]), value_named("one", FLOAT, &["1", "2"])],
    );
    let [bound, plain] = both(dir.path(), &onnx);
    for (call, rows) in [1, 3, 3, 1, 2].into_iter().enumerate() {
        let given = [floats_of("X", &[rows, 2], call as f32)];
        let got = outputs(&bound, &given).unwrap();
        assert_eq!(got, outputs(&plain, &given).unwrap());
        assert_eq!((got[0].shape.as_slice(), &got[1].data), ([2 * rows, 2].as_slice(), &given[0].data));
    }
}

#[test]
fn a_call_that_fails_spoils_none_after_it() {
    let dir = tempfile::tempdir().unwrap();
    // b may have any length, and most do not fit.
    let onnx = model(
        &[node("Add", &["a", "b"], &["sum"]), node("Relu", &["a"], &["above"])],
        &[],
        &[value_named("a", FLOAT, &["n"]), value_named("b", FLOAT, &["m"])],
        &[value_named("sum", FLOAT, &["n"]), value_named("above", FLOAT, &["n"])],
    );
    let [bound, plain] = both(dir.path(), &onnx);
    for round in 0..5 {
        for (n, m) in [(3, 3), (3, 2), (3, 3), (2, 2), (4, 3), (2, 2)] {
            let given = [floats_of("a", &[n], round as f32), floats_of("b", &[m], 0.0)];
            match (outputs(&bound, &given), outputs(&plain, &given)) {
                (Ok(got), Ok(want)) => assert!(n == m && got == want, "{n} and {m}"),
                (Err(got), Err(want)) => {
                    assert!(n != m && matches!(got, Error::Run { .. }), "{n} and {m}: {got}");
                    assert_eq!(got.to_string(), want.to_string());
                }
                other => panic!("{n} and {m}: {other:?}"),
            }
        }
    }
    // What does not fit the graph is refused before anything is bound.
    assert!(matches!(outputs(&bound, &[floats_of("a", &[2], 0.0)]), Err(Error::Tensor { .. })));
    assert!(outputs(&bound, &[floats_of("a", &[2], 0.0), floats_of("b", &[2], 0.0)]).is_ok());
}

#[test]
fn calls_from_many_threads_each_get_their_own_answer() {
    const THREADS: usize = 4;
    const CALLS: usize = 150;
    let dir = tempfile::tempdir().unwrap();
    let [bound, _] = both(dir.path(), &many_ends());
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let bound = &bound;
            scope.spawn(move || {
                for call in 0..CALLS {
                    let (rows, first) = ((thread + call) as i64 % 4 + 1, (thread * CALLS + call) as f32);
                    let given = [
                        floats_of("a", &[rows, 3], first),
                        floats_of("b", &[rows, 3], 0.0),
                        Tensor::new("names", vec![1], Data::String(vec![first.to_string()])).unwrap(),
                        floats_of("c", &[2, 2], first),
                    ];
                    let got = outputs(bound, &given).unwrap();
                    let sum = (0..rows * 3).map(|i| first + 2.0 * i as f32).collect();
                    assert_eq!(got[0].data, Data::F32(sum));
                    assert_eq!((&got[2].data, &got[3].data), (&given[2].data, &given[3].data));
                }
            });
        }
    });
}
