//! The time of a node: the system's, or that of `/clock` where `use_sim_time` is true.

use crate::{
    error::Result,
    messages::{builtin_interfaces::msg::Time, rosgraph_msgs::msg::Clock},
    node::Inner,
    parameters::DeclaredParameter,
    qos::QosProfile,
    queue::{Inbox, Queue, Reader},
    stack,
};
use futures::StreamExt;
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::task::AbortHandle;

/// Every node has it.
pub(crate) const USE_SIM_TIME: &str = "use_sim_time";
const CLOCK_TOPIC: &str = "/clock";

/// The system's time, UTC.
pub(crate) fn system_now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // The seconds of a ROS stamp are 32 bits and end in 2038; a later clock stands still there.
    Time { sec: i32::try_from(since.as_secs()).unwrap_or(i32::MAX), nanosec: since.subsec_nanos() }
}

/// Where a node's time comes from.
pub(crate) struct TimeSource {
    use_sim_time: DeclaredParameter<bool>,
    /// Of the newest message on `/clock`; zero before the first, as in rcl.
    simulated: Arc<Mutex<Time>>,
    follow: AbortHandle,
}

impl TimeSource {
    /// Follows `/clock` whenever `use_sim_time` says so.
    pub(crate) fn new(node: Weak<Inner>, use_sim_time: DeclaredParameter<bool>) -> Self {
        let simulated = Arc::<Mutex<Time>>::default();
        let follow = tokio::spawn(follow(node, use_sim_time.clone(), simulated.clone())).abort_handle();
        Self { use_sim_time, simulated, follow }
    }

    pub(crate) fn now(&self) -> Time {
        if self.use_sim_time.get() { self.simulated.lock().unwrap_or_else(PoisonError::into_inner).clone() } else { system_now() }
    }

    pub(crate) fn is_simulated(&self) -> bool {
        self.use_sim_time.get()
    }
}

impl Drop for TimeSource {
    fn drop(&mut self) {
        self.follow.abort();
    }
}

/// Holds the node only while it subscribes, so that it can leave.
async fn follow(node: Weak<Inner>, mut use_sim_time: DeclaredParameter<bool>, simulated: Arc<Mutex<Time>>) {
    loop {
        if use_sim_time.get() {
            let subscribed = match node.upgrade() {
                Some(node) => subscribe(&node),
                None => return,
            };
            match subscribed {
                Ok((mut messages, _alive)) => {
                    let changed = use_sim_time.changed();
                    tokio::pin!(changed);
                    loop {
                        tokio::select! {
                            message = messages.next() => match message.map(stack::Received::decode) {
                                Some(Ok(message)) => *simulated.lock().unwrap_or_else(PoisonError::into_inner) = message.clock,
                                Some(Err(error)) => tracing::warn!(topic = CLOCK_TOPIC, %error, "skipped a malformed message"),
                                None => return,
                            },
                            value = &mut changed => match value {
                                Some(_) => break,
                                None => return,
                            },
                        }
                    }
                    continue;
                }
                Err(error) => tracing::error!(topic = CLOCK_TOPIC, %error, "no simulated time"),
            }
        }
        if use_sim_time.changed().await.is_none() {
            return;
        }
    }
}

fn subscribe(node: &Inner) -> Result<(Reader<stack::Received<Clock>>, stack::Subscription)> {
    let inbox = Inbox::new(Queue::latest());
    let alive = node.inner.subscribe::<Clock>(
        &node.for_stack("topic", CLOCK_TOPIC)?,
        QosProfile::default().keep_last(1).best_effort(),
        inbox.clone(),
    )?;
    Ok((Reader(inbox), alive))
}
