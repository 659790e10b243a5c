//! What r2r keeps in its node for ever unless told otherwise.

use super::spinner::{Spinner, Turn};
use crate::error::{Error, Result};
use futures::{
    FutureExt, TryFutureExt,
    future::{BoxFuture, Shared},
};
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

/// A publisher of r2r's, which leaves the graph with its owner and not with its node. r2r's may be sent
/// but not shared between threads.
pub(super) struct Held<P: Send + 'static> {
    inner: Mutex<Option<P>>,
    spinner: Weak<Spinner>,
    destroy: fn(&mut Turn, P),
}

impl<P: Send> Held<P> {
    pub(super) fn new(inner: P, spinner: &Arc<Spinner>, destroy: fn(&mut Turn, P)) -> Self {
        Self { inner: Mutex::new(Some(inner)), spinner: Arc::downgrade(spinner), destroy }
    }

    /// None only while it is dropped.
    pub(super) fn with<R>(&self, act: impl FnOnce(&P) -> R) -> Option<R> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(act)
    }
}

impl<P: Send> Drop for Held<P> {
    fn drop(&mut self) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((inner, spinner)) = inner.zip(self.spinner.upgrade()) {
            let destroy = self.destroy;
            // A node that is gone has taken its publishers with it.
            let _ = spinner.post(move |turn| destroy(turn, inner));
        }
    }
}

/// Ends well when a server is there.
pub(super) type Present = Shared<BoxFuture<'static, std::result::Result<(), String>>>;

/// A client's open question whether its server is there. r2r keeps each one until it can say yes: whoever asked anew every few seconds
/// would fill the memory of a robot whose server stays away.
#[derive(Default)]
pub(super) struct Presence(Mutex<Option<Present>>);

impl Presence {
    /// The question that is open, else the one that `ask` puts.
    pub(super) fn ask(&self, ask: impl FnOnce() -> r2r::Result<BoxFuture<'static, r2r::Result<()>>>) -> r2r::Result<Present> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that was answered meanwhile says what was, not what is.
        if let Some(question) = open.as_ref().filter(|question| Shared::clone(question).now_or_never().is_none()) {
            return Ok(question.clone());
        }
        let question = ask()?.map_err(|error| error.to_string()).boxed().shared();
        *open = Some(question.clone());
        Ok(question)
    }
}

/// How long a server may take to answer before it is asked whether it is there at all.
const ABSENCE: Duration = Duration::from_millis(500);

/// Waits for an answer, but not for that of a server that is not there: DDS tells nobody that nobody heard.
pub(super) async fn answer<T>(
    spinner: &Weak<Spinner>,
    name: &str,
    answer: impl Future<Output = r2r::Result<T>>,
    present: impl Fn() -> r2r::Result<Present>,
) -> Result<T> {
    let failed = |reason: String| Error::ServiceCall { name: name.to_string(), reason };
    let absent = async {
        loop {
            tokio::time::sleep(ABSENCE).await;
            let Ok(available) = present() else { return };
            if !turned(spinner).await || available.now_or_never().is_none() {
                return;
            }
        }
    };
    tokio::select! {
        biased;
        answer = answer => answer.map_err(|e| failed(e.to_string())),
        () = absent => Err(failed("no server answered: it is absent, or it went away".into())),
    }
}

/// Lets the node have a whole turn, in which it looks at what it was asked to look at; false when it is gone.
async fn turned(spinner: &Weak<Spinner>) -> bool {
    let Some(spinner) = spinner.upgrade() else { return false };
    let whole_turn = move || {
        let count = || spinner.with(|turn| turn.count).ok();
        let Some(before) = count() else { return false };
        loop {
            match count() {
                Some(now) if now == before => {}
                now => return now.is_some(),
            }
        }
    };
    tokio::task::spawn_blocking(whole_turn).await.unwrap_or(false)
}
