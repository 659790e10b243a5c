//! Requests that come within a deadline of each other run as one, row behind row, where the graph leaves its first dimension
//! open: one call of the runtime costs less than many, and wide matrices fill the processor better than narrow ones.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use tokio::sync::oneshot;

use super::{Inference, Limits, Model};
use crate::decode::Thresholds;
use crate::tensor::Tensor;
use crate::{Error, Result};

/// Collects requests on a thread of its own, which ends with it.
pub(super) struct Batcher {
    jobs: Sender<Job>,
}

struct Job {
    model: Arc<Model>,
    /// In the order of the graph's inputs, checked against it.
    tensors: Vec<Tensor>,
    rows: usize,
    arrived: Instant,
    answer: oneshot::Sender<Result<Inference>>,
}

impl Batcher {
    pub(super) fn start(limits: Arc<Limits>) -> Result<Self> {
        let (jobs, waiting) = channel();
        std::thread::Builder::new()
            .name("batches".into())
            .spawn(move || run(&waiting, &limits))
            .map_err(|source| Error::Io { operation: "start the batching thread".into(), source })?;
        Ok(Self { jobs })
    }

    /// Runs tensors that were checked against `model`, whose rows are free.
    pub(super) async fn infer(&self, model: &Arc<Model>, mut tensors: Vec<Tensor>) -> Result<Inference> {
        let place = |tensor: &Tensor| model.inputs().iter().position(|spec| spec.name == tensor.name);
        tensors.sort_by_key(place);
        let rows = tensors.first().and_then(|t| t.shape.first()).map_or(0, |rows| *rows as usize);
        if tensors.iter().any(|t| t.shape.first() != tensors[0].shape.first()) {
            let shapes: Vec<_> = tensors.iter().map(|t| t.shape.as_slice()).collect();
            return Err(Error::Run { reason: format!("the inputs have different numbers of rows: shapes {shapes:?}") });
        }
        let (answer, answered) = oneshot::channel();
        let job = Job { model: Arc::clone(model), tensors, rows, arrived: Instant::now(), answer };
        let gone = || Error::Run { reason: "the batching thread is gone".into() };
        self.jobs.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

fn run(waiting: &Receiver<Job>, limits: &Limits) {
    let mut next = None;
    while let Some(first) = next.take().or_else(|| waiting.recv().ok()) {
        let deadline = first.arrived + limits.batch_deadline();
        let mut rows = first.rows;
        let mut batch = vec![first];
        while rows < limits.batch_max() {
            let Ok(job) = waiting.recv_timeout(deadline.saturating_duration_since(Instant::now())) else { break };
            if !fits(&batch[0], &job) || rows + job.rows > limits.batch_max() {
                next = Some(job);
                break;
            }
            rows += job.rows;
            batch.push(job);
        }
        compute(batch, rows);
    }
}

/// Whether two requests differ in nothing but their rows.
fn fits(one: &Job, other: &Job) -> bool {
    let alike = |(a, b): (&Tensor, &Tensor)| a.shape[1..] == b.shape[1..];
    Arc::ptr_eq(&one.model, &other.model) && one.tensors.iter().zip(&other.tensors).all(alike)
}

fn compute(batch: Vec<Job>, rows: usize) {
    if batch.len() > 1
        && let Some(answers) = together(&batch, rows)
    {
        for (job, answer) in batch.into_iter().zip(answers) {
            // Who does not wait any more needs no answer.
            let _ = job.answer.send(answer);
        }
        return;
    }
    for job in batch {
        let _ = job.answer.send(job.model.infer_checked(&job.tensors));
    }
}

/// One run for all; `None` when it fails or its outputs do not have these rows: then each must run by itself, so that nobody
/// fails for what another sent.
fn together(batch: &[Job], rows: usize) -> Option<Vec<Result<Inference>>> {
    let model = &batch[0].model;
    let mut tensors = batch[0].tensors.clone();
    for job in &batch[1..] {
        for (tensor, more) in tensors.iter_mut().zip(&job.tensors) {
            tensor.data.append(&more.data).then_some(())?;
        }
    }
    tensors.iter_mut().for_each(|tensor| tensor.shape[0] = rows as i64);
    let outputs = model.run(&tensors).ok()?;
    if outputs.iter().any(|output| output.shape.first() != Some(&(rows as i64))) {
        return None;
    }
    let mut begin = 0;
    let answers = batch.iter().map(|job| {
        let range = begin..begin + job.rows;
        begin = range.end;
        let part = |output: &Tensor| {
            let width = output.data.len() / rows.max(1);
            let mut shape = output.shape.clone();
            shape[0] = job.rows as i64;
            Tensor { name: output.name.clone(), shape, data: output.data.slice(range.start * width..range.end * width) }
        };
        model.decoded(outputs.iter().map(part).collect(), None, &Thresholds::default())
    });
    Some(answers.collect())
}
