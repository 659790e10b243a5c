//! Queues between the stack and the node's own code. The stack hands a message over at once and
//! never waits for the node; which messages give way when the node is slow, and how many did, is
//! decided and counted here.

use futures::{Stream, task::AtomicWaker};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

/// What a subscription keeps while its node is busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Every message in order. Only when `depth` are waiting is the newest dropped, and counted.
    All {
        /// Messages that may wait.
        depth: usize,
    },
    /// The newest `depth` messages. The oldest is dropped, and counted.
    Latest {
        /// Messages that may wait; 0 counts as 1.
        depth: usize,
    },
}

impl Queue {
    /// [`Queue::All`] with room for 4096 messages.
    #[must_use]
    pub const fn all() -> Self {
        Self::All { depth: 4096 }
    }

    /// [`Queue::Latest`] with room for one message.
    #[must_use]
    pub const fn latest() -> Self {
        Self::Latest { depth: 1 }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::all()
    }
}

/// Counts what a subscription lost to its queue; outlives the subscription.
#[derive(Clone, Debug, Default)]
pub struct DropCounter(Arc<AtomicU64>);

impl DropCounter {
    /// Messages dropped so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A queue with one reader.
pub(crate) struct Inbox<T> {
    policy: Queue,
    items: Mutex<VecDeque<T>>,
    closed: AtomicBool,
    waker: AtomicWaker,
    pub(crate) dropped: DropCounter,
}

impl<T> Inbox<T> {
    pub(crate) fn new(policy: Queue) -> Arc<Self> {
        Arc::new(Self {
            policy,
            items: Mutex::default(),
            closed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
            dropped: DropCounter::default(),
        })
    }

    pub(crate) fn push(&self, item: T) {
        let mut items = self.lock();
        match self.policy {
            Queue::All { depth } if items.len() >= depth => {
                self.dropped.add_one();
                return;
            }
            Queue::Latest { depth } if items.len() >= depth.max(1) => {
                items.pop_front();
                self.dropped.add_one();
            }
            Queue::All { .. } | Queue::Latest { .. } => {}
        }
        items.push_back(item);
        drop(items);
        self.waker.wake();
    }

    /// Nothing will come any more: its reader ends after what waits.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// What a reader gets now, if anything.
    fn take(&self) -> Poll<Option<T>> {
        // Asked first: what was pushed before the end is there to be seen.
        let closed = self.closed.load(Ordering::Acquire);
        match self.lock().pop_front() {
            Some(item) => Poll::Ready(Some(item)),
            None if closed => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Messages that wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        // A panic while pushing leaves a whole queue behind.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading end. Ends only when the queue is closed.
pub(crate) struct Reader<T>(pub(crate) Arc<Inbox<T>>);

impl<T> Stream for Reader<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if let ready @ Poll::Ready(_) = self.0.take() {
            return ready;
        }
        self.0.waker.register(cx.waker());
        // A push between the look and the registration woke nobody.
        self.0.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    fn drain(inbox: &Arc<Inbox<u32>>) -> Vec<u32> {
        std::iter::from_fn(|| inbox.lock().pop_front()).collect()
    }

    #[test]
    fn all_keeps_the_oldest_and_counts_the_rest() {
        let inbox = Inbox::new(Queue::All { depth: 3 });
        (0..5).for_each(|i| inbox.push(i));
        assert_eq!(drain(&inbox), [0, 1, 2]);
        assert_eq!(inbox.dropped.get(), 2);
    }

    #[test]
    fn latest_keeps_the_newest_and_counts_the_rest() {
        let inbox = Inbox::new(Queue::Latest { depth: 0 });
        (0..5).for_each(|i| inbox.push(i));
        assert_eq!(drain(&inbox), [4]);
        assert_eq!(inbox.dropped.get(), 4);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_waiting_reader_is_woken_for_every_item() {
        let inbox = Inbox::new(Queue::all());
        let (writer, reader) = (inbox.clone(), Reader(inbox.clone()));
        let task = tokio::spawn(reader.take(1000).collect::<Vec<_>>());
        std::thread::spawn(move || (0..1000).for_each(|i| writer.push(i))).join().unwrap();
        assert_eq!(task.await.unwrap(), (0..1000).collect::<Vec<_>>());
        assert_eq!((inbox.dropped.get(), inbox.len()), (0, 0));
    }
    #[tokio::test]
    async fn a_closed_queue_ends_after_what_waits() {
        let inbox = Inbox::new(Queue::all());
        let reader = tokio::spawn(Reader(inbox.clone()).collect::<Vec<_>>());
        inbox.push(1);
        inbox.push(2);
        inbox.close();
        assert_eq!(reader.await.unwrap(), [1, 2]);
    }
}
