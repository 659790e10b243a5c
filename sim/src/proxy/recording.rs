//! What clients sent through a proxy, kept so that a test can send it again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the newest connections sent, each from its first byte on; none is kept by default.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    connections: Arc<Mutex<VecDeque<Bytes>>>,
    most_connections: usize,
    most_bytes: usize,
}

type Bytes = Arc<Mutex<Vec<u8>>>;

impl Recording {
    /// Keeps nothing.
    pub fn none() -> Self {
        Self::default()
    }

    /// Keeps the first `most_bytes` of each of the newest `most_connections`.
    pub fn of(most_connections: usize, most_bytes: usize) -> Self {
        Self { most_connections, most_bytes, ..Self::default() }
    }

    /// What was kept so far, oldest connection first.
    pub fn connections(&self) -> Vec<Vec<u8>> {
        lock(&self.connections).iter().map(|bytes| lock(bytes).clone()).collect()
    }

    pub(super) fn connection(&self) -> Kept {
        let bytes = Bytes::default();
        let mut connections = lock(&self.connections);
        connections.push_back(bytes.clone());
        while connections.len() > self.most_connections {
            connections.pop_front();
        }
        Kept { bytes, most_bytes: self.most_bytes }
    }
}

/// One connection's bytes.
pub(super) struct Kept {
    bytes: Bytes,
    most_bytes: usize,
}

impl Kept {
    pub(super) fn note(&mut self, sent: &[u8]) {
        let mut bytes = lock(&self.bytes);
        let room = self.most_bytes.saturating_sub(bytes.len());
        bytes.extend_from_slice(sent.get(..room).unwrap_or(sent));
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}
