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
        self.counted(async {
            let model = self.engine.current()?;
            let batcher = if self.limits.batch_max() > 1 && model.rows_are_free() { self.batcher() } else { None };
            let inference = match batcher {
                Some(batcher) => {
                    model.check(&tensors)?;
                    batcher.infer(&model, tensors).await?
                }
                None => {
                    let runs = Arc::clone(&model);
                    on_a_fit_thread(&model, move || runs.infer_tensors(&tensors)).await?
                }
            };
            Ok((model, inference))
        })
        .await
    }

    /// Runs `work` with the model, which it is given: for what is no list of tensors.
    ///
    /// # Errors
    /// [`Error::Busy`], [`Error::NoModel`], or what `work` says.
    pub async fn infer_with<W>(&self, work: W) -> Result<(Arc<Model>, Inference)>
    where
        W: FnOnce(&Model) -> Result<Inference> + Send + 'static,
    {
        self.counted(async {
            let model = self.engine.current()?;
            let runs = Arc::clone(&model);
            let inference = on_a_fit_thread(&model, move || work(&runs)).await?;
            Ok((model, inference))
        })
        .await
    }

    async fn counted<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.limits.max_concurrent.load(Ordering::Relaxed);
        let admitted = self.running.fetch_update(Ordering::Acquire, Ordering::Relaxed, |n| (n < limit).then_some(n + 1));
        if admitted.is_err() {
            self.rejected.fetch_add(1, Ordering::Relaxed);
            return Err(Error::Busy { limit });
        }
        let _permit = Permit(&self.running);
        let answer = request.await;
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

/// A thread hop costs tens of microseconds, which a quick model does not take itself; a slow model would hold up the executor.
async fn on_a_fit_thread<T: Send + 'static>(model: &Model, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    if model.is_quick() {
        return work();
    }
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(Error::Io { operation: "infer".to_owned(), source: std::io::Error::other(panic) }))
}
