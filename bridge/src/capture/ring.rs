//! The newest messages of the captured topics, in a memory that is bounded in seconds and bytes.

use bytes::Bytes;
use edgeflow_ros::registry::TypeDescription;
use std::{collections::VecDeque, sync::Arc};

/// What a message costs beside its bytes.
const OVERHEAD_BYTES: usize = 64;

/// A topic with its type.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) topic: String,
    pub(crate) ty: &'static TypeDescription,
}

/// One message.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) channel: Arc<Channel>,
    /// When it came, nanoseconds since the Unix epoch.
    pub(crate) at_ns: u64,
    /// The same by a clock that only runs forward, microseconds.
    pub(crate) at_us: u64,
    /// A CDR body, without encapsulation.
    pub(crate) body: Bytes,
}

impl Kept {
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + OVERHEAD_BYTES
    }
}

/// The newest messages.
#[derive(Debug)]
pub(crate) struct Ring {
    messages: VecDeque<Kept>,
    bytes: usize,
    max_bytes: usize,
    max_age_us: u64,
}

impl Ring {
    pub(crate) fn new(max_bytes: usize, max_age_us: u64) -> Self {
        Self { messages: VecDeque::new(), bytes: 0, max_bytes, max_age_us }
    }

    /// Keeps a message and lets go of what there is no room for, or is too old.
    pub(crate) fn push(&mut self, message: Kept) {
        let now_us = message.at_us;
        self.bytes += message.bytes();
        self.messages.push_back(message);
        self.trim(now_us);
    }

    /// Lets go of what is too old at this moment.
    pub(crate) fn trim(&mut self, now_us: u64) {
        let old = |kept: &Kept| now_us.saturating_sub(kept.at_us) > self.max_age_us;
        while self.messages.front().is_some_and(|first| self.bytes > self.max_bytes || old(first)) {
            if let Some(gone) = self.messages.pop_front() {
                self.bytes -= gone.bytes();
            }
        }
    }

    /// What is kept, oldest first. Their bytes are shared, not copied.
    pub(crate) fn snapshot(&self) -> Vec<Kept> {
        self.messages.iter().cloned().collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_ros::registry;

    fn kept(at_us: u64, bytes: usize) -> Kept {
        let channel = Arc::new(Channel { topic: "/t".into(), ty: registry::message("std_msgs/msg/Int32").unwrap() });
        Kept { channel, at_ns: 0, at_us, body: vec![0; bytes].into() }
    }

    fn times(ring: &Ring) -> Vec<u64> {
        ring.snapshot().iter().map(|kept| kept.at_us).collect()
    }

    #[test]
    fn seconds_and_bytes_both_bound_it() {
        let mut ring = Ring::new(1_000, 100);
        for at_us in [0, 40, 80, 120] {
            ring.push(kept(at_us, 36));
        }
        assert_eq!((times(&ring), ring.bytes()), (vec![40, 80, 120], 300), "of the last 100 us");
        ring.push(kept(130, 800));
        assert_eq!(times(&ring), [120, 130], "of the last 1000 bytes");
        ring.push(kept(131, 5_000));
        assert_eq!((times(&ring), ring.bytes()), (vec![], 0), "what is larger than all of it has no place");
        ring.push(kept(200, 36));
        ring.trim(301);
        assert_eq!(times(&ring), Vec::<u64>::new(), "also without a message after it");
    }
}
