//! Dashboards that are open meanwhile: each reads the stream of changes as a browser does, and what it is told is counted.

use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;

use crate::demo::control_plane::ControlPlane;

/// Before one whose stream ended opens it again.
const AGAIN: Duration = Duration::from_secs(1);
/// How the name of an event is said.
const EVENT: &[u8] = b"event:";

/// Watchers. Dropping it closes their streams.
pub(crate) struct Watchers {
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
    _tasks: JoinSet<()>,
}

impl Watchers {
    /// So many dashboards of a control plane.
    pub(crate) fn open(plane: &ControlPlane, watchers: usize) -> Self {
        let counts = Arc::<Mutex<BTreeMap<String, u64>>>::default();
        let mut tasks = JoinSet::new();
        for _ in 0..watchers {
            tasks.spawn(watch(plane.clone(), counts.clone()));
        }
        Self { counts, _tasks: tasks }
    }

    /// Kind of event to how many were read; `lagged`: a watcher was too slow for the control plane and missed some.
    pub(crate) fn told(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn watch(plane: ControlPlane, counts: Arc<Mutex<BTreeMap<String, u64>>>) {
    loop {
        match plane.stream().await {
            Ok(response) => {
                let (mut chunks, mut lines) = (response.bytes_stream(), Lines::default());
                while let Some(Ok(chunk)) = chunks.next().await {
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    lines.take(&chunk, |event| *counts.entry(event.to_owned()).or_default() += 1);
                }
            }
            Err(error) => tracing::debug!(%error, "the stream of changes does not open"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The names of events in a stream that comes in pieces.
#[derive(Default)]
struct Lines {
    /// Begin of a line that has not ended, as far as it may be a name.
    line: Vec<u8>,
}

impl Lines {
    fn take(&mut self, chunk: &[u8], mut event: impl FnMut(&str)) {
        for byte in chunk {
            if *byte == b'\n' {
                if let Some(name) = self.line.strip_prefix(EVENT) {
                    event(String::from_utf8_lossy(name).trim());
                }
                self.line.clear();
            } else if self.line.len() < 64 {
                self.line.push(*byte);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_events_are_read_however_the_stream_is_cut() {
        let text = b": watching\n\nevent: target\ndata: {\"event: no\": 1}\n\nevent: lagged\ndata: {}\n\n";
        for size in 1..text.len() {
            let (mut lines, mut seen) = (Lines::default(), Vec::new());
            text.chunks(size).for_each(|chunk| lines.take(chunk, |event| seen.push(event.to_owned())));
            assert_eq!(seen, ["target", "lagged"], "in pieces of {size}");
        }
    }
}
