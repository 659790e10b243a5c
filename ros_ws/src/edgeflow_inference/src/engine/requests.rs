//! Requests beside the camera: how many are served at once, on which thread, and together with which others.
//!
//! What asks (a service, an HTTP client) waits for an answer, so a request that cannot be taken is refused at once and not
//! queued. A model that answers within microseconds runs where the request is; one that takes longer runs on a thread that
//! may block; and where the user allows it, requests that come together run as one batch.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::batch::Batcher;
use super::{Engine, Inference, Model};
use crate::tensor::Tensor;
use crate::{Error, Result};

/// What may change while requests are served.
#[derive(Debug)]
pub struct Limits {
    /// Requests served at the same time.
    pub max_concurrent: AtomicUsize,
    /// Rows in one run; 1: no batching.
    pub batch_max: AtomicUsize,
    /// How long a request waits for others, microseconds.
    pub batch_deadline_us: AtomicU64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_concurrent: AtomicUsize::new(64), batch_max: AtomicUsize::new(1), batch_deadline_us: AtomicU64::new(1000) }
    }
}

impl Limits {
    pub(super) fn batch_max(&self) -> usize {
        self.batch_max.load(Ordering::Relaxed)
    }

    pub(super) fn batch_deadline(&self) -> Duration {
        Duration::from_micros(self.batch_deadline_us.load(Ordering::Relaxed))
    }
}

/// What became of the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestCounters {
    /// Answered with a result.
    pub served: u64,
    /// Answered with an error.
    pub failed: u64,
    /// Refused because too many were being served.
    pub rejected: u64,
}

/// Serves requests with one slot's model.
pub struct Requests {
    engine: Arc<Engine>,
    limits: Arc<Limits>,
    running: AtomicUsize,
    /// Begun with the first request that may be batched; `None` when no thread could be had.
    batcher: OnceLock<Option<Batcher>>,
    served: AtomicU64,
    failed: AtomicU64,
    rejected: AtomicU64,
}

/// What is to be done beside the model's run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Nothing that others could not wait for.
    Light,
    /// More than that, such as a picture that has to be decompressed: on a thread of its own, however quick the model is.
    Heavy,
}

/// The right to be served; given back when dropped.
struct Permit<'a>(&'a AtomicUsize);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

impl Requests {
    /// Serves with `engine`'s model, within `limits`.
    pub fn new(engine: Arc<Engine>, limits: Arc<Limits>) -> Self {
        Self {
            engine,
            limits,
            running: AtomicUsize::new(0),
            batcher: OnceLock::new(),
            served: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
        }
    }

    /// What became of the requests so far.
    pub fn counters(&self) -> RequestCounters {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RequestCounters { served: load(&self.served), failed: load(&self.failed), rejected: load(&self.rejected) }
    }

    /// Runs the model on the graph's input tensors, perhaps together with other requests.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::NoModel`], or what [`Model::infer_tensors`] says.
    pub async fn infer_tensors(&self, tensors: Vec<Tensor>) -> Result<(Arc<Model>, Inference)> {
        let model = self.model()?;
        let inference = self.infer_on(&model, tensors).await?;
        Ok((model, inference))
    }

    /// As [`Requests::infer_tensors`], on a model that was the slot's a moment ago.
    ///
    /// # Errors
    /// [`Error::Busy`], or what [`Model::infer_tensors`] says.
    pub async fn infer_on(&self, model: &Arc<Model>, tensors: Vec<Tensor>) -> Result<Inference> {
        let _permit = self.admit()?;
        let batcher = if self.limits.batch_max() > 1 && model.rows_are_free() { self.batcher() } else { None };
        let answer = match batcher {
            None if model.is_quick() => model.infer_tensors(&tensors),
            // In a box: the futures of quick answers would have to be as large.
            None => {
                let runs = Arc::clone(model);
                Box::pin(blocking(move || runs.infer_tensors(&tensors))).await
            }
            Some(batcher) => match model.check(&tensors) {
                Ok(()) => Box::pin(batcher.infer(model, tensors)).await,
                Err(error) => Err(error),
            },
        };
        self.counted(answer)
    }

    /// Runs `work` with the model, which it is given: for what is no list of tensors.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::NoModel`], or what `work` says.
    pub async fn infer_with<W>(&self, weight: Work, work: W) -> Result<(Arc<Model>, Inference)>
    where
        W: FnOnce(&Model) -> Result<Inference> + Send + 'static,
    {
        let _permit = self.admit()?;
        let model = self.model()?;
        let answer = if weight == Work::Light && model.is_quick() {
            work(&model)
        } else {
            let runs = Arc::clone(&model);
            blocking(move || work(&runs)).await
        };
        self.counted(answer).map(|inference| (model, inference))
    }

    fn model(&self) -> Result<Arc<Model>> {
        self.engine.current().inspect_err(|_| {
            self.failed.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// # Errors
    /// [`Error::Busy`].
    fn admit(&self) -> Result<Permit<'_>> {
        let limit = self.limits.max_concurrent.load(Ordering::Relaxed);
        let admitted = self.running.fetch_update(Ordering::Acquire, Ordering::Relaxed, |n| (n < limit).then_some(n + 1));
        match admitted {
            Ok(_) => Ok(Permit(&self.running)),
            Err(_) => {
                self.rejected.fetch_add(1, Ordering::Relaxed);
                Err(Error::Busy { limit })
            }
        }
    }

    fn counted<T>(&self, answer: Result<T>) -> Result<T> {
        let counter = if answer.is_ok() { &self.served } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        answer
    }

    fn batcher(&self) -> Option<&Batcher> {
        let begin = || match Batcher::start(Arc::clone(&self.limits)) {
            Ok(batcher) => Some(batcher),
            Err(error) => {
                tracing::error!(%error, "requests are not batched");
                None
            }
        };
        self.batcher.get_or_init(begin).as_ref()
    }
}

/// Runs a slow model, which would hold up the executor, on a thread that may block. A quick one is not worth the tens of
/// microseconds that costs.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(Error::Io { operation: "infer".to_owned(), source: std::io::Error::other(panic) }))
}
