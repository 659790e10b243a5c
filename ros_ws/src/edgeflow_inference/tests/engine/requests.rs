//! Requests that come together: batched where the graph allows it, refused where there are too many.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use edgeflow_inference::Error;
use edgeflow_inference::engine::{Engine, Inference, Limits, Model, Requests};
use edgeflow_inference::tensor::{Data, Tensor};
use futures::FutureExt;

use super::load;
use super::support::*;

/// Gives X and, beside each row, how many rows ran together.
fn crowd_model() -> Vec<u8> {
    model(
        &[
            node("Identity", &["X"], &["same"]),
            node("Shape", &["X"], &["shape"]),
            node("Gather", &["shape", "first"], &["count"]),
            cast("count", "crowd", FLOAT),
            node("Mul", &["X", "zero"], &["nothing"]),
            node("Add", &["nothing", "crowd"], &["rows"]),
        ],
        &[ints("first", &[1], &[0]), floats("zero", &[1], &[0.0])],
        &[value("X", FLOAT, &[0, 0])],
        &[value("same", FLOAT, &[0, 0]), value("rows", FLOAT, &[0, 0])],
    )
}

fn serving(limits: &Arc<Limits>) -> (Arc<Engine>, Requests, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(engine());
    load(&engine, &request(&bundle(&dir.path().join("crowd"), &crowd_model(), None))).unwrap();
    (Arc::clone(&engine), Requests::new(engine, Arc::clone(limits)), dir)
}

fn limits(batch_max: usize, batch_deadline_us: u64) -> Arc<Limits> {
    let limits = Arc::new(Limits::default());
    limits.batch_max.store(batch_max, Ordering::Relaxed);
    limits.batch_deadline_us.store(batch_deadline_us, Ordering::Relaxed);
    limits
}

fn x(rows: i64, width: i64, first: f32) -> Vec<Tensor> {
    let data = (0..rows * width).map(|i| first + i as f32).collect();
    vec![Tensor::new("X", vec![rows, width], Data::F32(data)).unwrap()]
}

/// The rows of the answer, after a check that they are the rows asked for.
fn crowd(asked: &[Tensor], (_, answer): (Arc<Model>, Inference)) -> f32 {
    assert_eq!((&answer.outputs[0].shape, &answer.outputs[0].data), (&asked[0].shape, &asked[0].data));
    let Data::F32(rows) = &answer.outputs[1].data else { panic!("{answer:?}") };
    assert!(rows.iter().all(|n| *n == rows[0]));
    rows[0]
}

const LONG_US: u64 = 30_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_fill_a_batch_run_together_and_each_gets_its_own_rows() {
    let (_engine, requests, _dir) = serving(&limits(4, LONG_US));
    let asked = [x(1, 3, 0.0), x(2, 3, 10.0), x(1, 3, 20.0)];
    let answers = futures::future::join_all(asked.iter().map(|x| requests.infer_tensors(x.clone()))).await;
    for (asked, answer) in asked.iter().zip(answers) {
        assert_eq!(crowd(asked, answer.unwrap()), 4.0);
    }
    assert_eq!(requests.counters().served, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_alone_runs_at_its_deadline_and_other_shapes_are_no_company() {
    let (_engine, requests, _dir) = serving(&limits(4, 1));
    let asked = x(1, 3, 0.0);
    assert_eq!(crowd(&asked, requests.infer_tensors(asked.clone()).await.unwrap()), 1.0);

    // Two of width 3 would fill half a batch; the one of width 5 ends it before its deadline, and fills one of its own.
    let (_engine, requests, _dir) = serving(&limits(4, LONG_US));
    let asked = [x(1, 3, 0.0), x(1, 3, 5.0), x(4, 5, 0.0)];
    let answers = futures::future::join_all(asked.iter().map(|x| requests.infer_tensors(x.clone()))).await;
    let crowds: Vec<f32> = asked.iter().zip(answers).map(|(asked, answer)| crowd(asked, answer.unwrap())).collect();
    assert_eq!(crowds, [2.0, 2.0, 4.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_is_refused_before_it_joins_a_batch() {
    let (_engine, requests, _dir) = serving(&limits(2, LONG_US));
    let wrong = vec![Tensor::new("X", vec![3], Data::F32(vec![0.0; 3])).unwrap()];
    let error = requests.infer_tensors(wrong).await.unwrap_err().to_string();
    assert!(error.contains("expected float32 of shape [-1, -1]"), "{error}");
    let (one, two) = (x(1, 2, 0.0), x(1, 2, 7.0));
    let (first, second) = futures::join!(requests.infer_tensors(one.clone()), requests.infer_tensors(two.clone()));
    assert_eq!((crowd(&one, first.unwrap()), crowd(&two, second.unwrap())), (2.0, 2.0));
    assert_eq!((requests.counters().served, requests.counters().failed), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_allowed_are_told_so_at_once() {
    let limits = limits(2, LONG_US);
    limits.max_concurrent.store(1, Ordering::Relaxed);
    let (_engine, requests, _dir) = serving(&limits);
    let mut waits = Box::pin(requests.infer_tensors(x(1, 2, 0.0)));
    assert!(waits.as_mut().now_or_never().is_none(), "it waits for company");
    let error = requests.infer_tensors(x(1, 2, 0.0)).await.unwrap_err();
    assert!(matches!(error, Error::Busy { limit: 1 }) && error.to_string().starts_with("busy: 1 requests"), "{error}");
    // Who gives up makes room.
    drop(waits);
    limits.batch_max.store(1, Ordering::Relaxed);
    let asked = x(1, 2, 0.0);
    assert_eq!(crowd(&asked, requests.infer_tensors(asked.clone()).await.unwrap()), 1.0);
    assert_eq!((requests.counters().served, requests.counters().rejected), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_with_a_fixed_first_dimension_are_not_batched() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(engine());
    let onnx = model(&[node("Identity", &["X"], &["Y"])], &[], &[value("X", FLOAT, &[1, 2])], &[value("Y", FLOAT, &[1, 2])]);
    load(&engine, &request(&bundle(&dir.path().join("fixed"), &onnx, None))).unwrap();
    assert!(!engine.current().unwrap().rows_are_free());
    let requests = Requests::new(engine, limits(8, LONG_US));
    let (_, answer) = requests.infer_tensors(x(1, 2, 3.0)).await.unwrap();
    assert_eq!(answer.outputs[0].data, Data::F32(vec![3.0, 4.0]));
}
