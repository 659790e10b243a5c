//! What a network does to whoever uses it, as one switch for any number of proxies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// How a network behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Everything passes at once.
    #[default]
    Up,
    /// Everything passes, late or thinly.
    Slow {
        /// Time on the way, each direction.
        delay: Duration,
        /// Most that is added to `delay`, by chance; order is kept, as TCP does.
        jitter: Duration,
        /// Bytes per second of each connection and direction; none: any number.
        bytes_per_s: Option<u64>,
    },
    /// Connections stand and nothing passes, in no direction, not even their end: a lost route, a sleeping modem. What was sent
    /// meanwhile arrives when the network is back.
    HalfOpen,
    /// Connections that stand go on; new ones are reset.
    Refusing,
    /// Every connection is broken and new ones are reset.
    Cut,
}

/// The present condition and how often connections were broken, so that a cut which was mended at once is still a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct State {
    pub(super) condition: Condition,
    pub(super) breaks: u64,
    /// The newest break was a reset: the other side learns by RST, not by FIN.
    pub(super) by_reset: bool,
}

/// One switch for any number of proxies: a robot has one radio, whatever protocols cross it.
#[derive(Debug, Clone)]
pub struct Link {
    state: Arc<watch::Sender<State>>,
    pub(super) connections: TaskTracker,
    seed: u64,
    made: Arc<AtomicU64>,
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    /// A link that is up.
    pub fn new() -> Self {
        Self::seeded(0)
    }

    /// A link that is up; what it leaves to chance (jitter) follows from the seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: Arc::default(), connections: TaskTracker::new(), seed, made: Arc::default() }
    }

    /// How the network behaves now.
    pub fn condition(&self) -> Condition {
        self.state.borrow().condition
    }

    /// Whether traffic passes, if slowly.
    pub fn is_connected(&self) -> bool {
        !matches!(self.condition(), Condition::Cut | Condition::HalfOpen)
    }

    /// Makes the network behave so from now on. [`Condition::Cut`] breaks every connection; for the rest they stand.
    pub fn set(&self, condition: Condition) {
        self.state.send_if_modified(|state| {
            // Setting what is set already must not break connections again.
            let changed = state.condition != condition;
            if changed && condition == Condition::Cut {
                (state.breaks, state.by_reset) = (state.breaks + 1, false);
            }
            state.condition = condition;
            changed
        });
    }

    /// Lets traffic pass. Connections that were cut stay dead: whoever wants one opens it anew.
    pub fn restore(&self) {
        self.set(Condition::Up);
    }

    /// Breaks every connection and refuses new ones; returns once the last one is closed.
    pub async fn cut(&self) {
        self.set(Condition::Cut);
        self.closed().await;
    }

    /// Resets every connection (RST, not FIN) and returns once the last one is gone. New ones are what the condition makes of them.
    pub async fn reset(&self) {
        self.state.send_modify(|state| (state.breaks, state.by_reset) = (state.breaks + 1, true));
        if self.condition() == Condition::Cut {
            self.closed().await;
        }
    }

    /// Connections that stand now.
    pub fn open_connections(&self) -> usize {
        self.connections.len()
    }

    async fn closed(&self) {
        self.connections.close();
        self.connections.wait().await;
        self.connections.reopen();
    }

    pub(super) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// A seed for the next connection.
    pub(super) fn next_seed(&self) -> u64 {
        self.seed.wrapping_add(self.made.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

/// Resolves once connections are broken, and says whether by a reset; also when all is well again by then. `since` was read when the
/// connection was made.
pub(super) async fn until_broken(mut state: watch::Receiver<State>, since: u64) -> bool {
    let broken = state.wait_for(|state| state.breaks != since).await.map(|state| state.by_reset);
    match broken {
        Ok(by_reset) => by_reset,
        Err(_) => std::future::pending().await,
    }
}
