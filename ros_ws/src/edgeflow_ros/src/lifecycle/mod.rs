//! Managed nodes: a node that is set up, started, stopped and cleaned up from outside, in the states and
//! over the services of <https://design.ros2.org/articles/node_lifecycle.html>, so that
//! `ros2 lifecycle` and launch files drive it as they drive rclcpp's.

mod machine;
mod services;

use crate::{
    error::{Error, Result},
    messages::lifecycle_msgs::msg::TransitionEvent,
    node::Node,
    publisher::Publisher,
    qos::QosProfile,
};
use futures::FutureExt;
use machine::{Ending, Step};
use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};

pub use machine::{State, Transition};

/// Why a hook did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookError {
    /// It could not, and everything is as it was before: the node stays where it was.
    Failure(String),
    /// It left something broken: [`Managed::on_error`] is to clean up.
    Error(String),
}

/// A plain reason is a failure.
impl From<String> for HookError {
    fn from(reason: String) -> Self {
        Self::Failure(reason)
    }
}

/// A plain reason is a failure.
impl From<&str> for HookError {
    fn from(reason: &str) -> Self {
        Self::Failure(reason.into())
    }
}

/// What a node does on its ways between the states. One hook runs at a time, and a panic in one is an error.
/// Implement them as `async fn`.
pub trait Managed: Send + 'static {
    /// Sets up: reads parameters, loads models, takes memory.
    fn on_configure(&mut self) -> impl Future<Output = Result<(), HookError>> + Send {
        async { Ok(()) }
    }

    /// Begins to work.
    fn on_activate(&mut self) -> impl Future<Output = Result<(), HookError>> + Send {
        async { Ok(()) }
    }

    /// Stops to work: nothing is published from here on.
    fn on_deactivate(&mut self) -> impl Future<Output = Result<(), HookError>> + Send {
        async { Ok(()) }
    }

    /// Gives back what [`Managed::on_configure`] took.
    fn on_cleanup(&mut self) -> impl Future<Output = Result<(), HookError>> + Send {
        async { Ok(()) }
    }

    /// Gives everything back, from whatever state; the node does not work again.
    fn on_shutdown(&mut self) -> impl Future<Output = Result<(), HookError>> + Send {
        async { Ok(()) }
    }

    /// Cleans up after an error: the node is unconfigured then, else it is finalized.
    fn on_error(&mut self, reason: &str) -> impl Future<Output = Result<(), HookError>> + Send {
        let reason = reason.to_string();
        async { Err(HookError::Failure(reason)) }
    }
}

/// The lifecycle of a node, served to others. Clones are the same; it is served until the last is gone or
/// the context is shut down.
#[derive(Clone)]
pub struct Lifecycle(Arc<Served>);

struct Served {
    core: Arc<Core>,
    _alive: oneshot::Sender<()>,
}

/// What a hook's worker is to do.
struct Order {
    transition: Transition,
    done: oneshot::Sender<Outcome>,
}

/// How a transition ended: why not, and where the node is.
struct Outcome {
    state: State,
    problem: Option<String>,
}

struct Core {
    node: Node,
    state: watch::Sender<State>,
    events: Mutex<Publisher<TransitionEvent>>,
    orders: mpsc::UnboundedSender<Order>,
}

impl Lifecycle {
    /// Serves the lifecycle of `node`, which begins as unconfigured.
    ///
    /// # Errors
    /// A context shut down, no tokio runtime, or a stack that refuses.
    pub fn serve<M: Managed>(node: &Node, managed: M) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|e| Error::stack(format!("manage {}", node.fully_qualified_name()), e))?;
        // At most one order at a time: the state of the node sees to that.
        let (orders, queue) = mpsc::unbounded_channel();
        let core = Arc::new(Core {
            node: node.clone(),
            state: watch::Sender::new(State::Unconfigured),
            events: Mutex::new(node.create_publisher("~/transition_event", QosProfile::default())?),
            orders,
        });
        let (alive, gone) = oneshot::channel();
        services::serve(&core, gone, &runtime)?;
        runtime.spawn(work(Arc::downgrade(&core), managed, queue));
        Ok(Self(Arc::new(Served { core, _alive: alive })))
    }

    /// Where the node is.
    #[must_use]
    pub fn state(&self) -> State {
        *self.0.core.state.borrow()
    }

    /// Whether the node is at work.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state() == State::Active
    }

    /// To watch the state; it may pass through several between two looks.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<State> {
        self.0.core.state.subscribe()
    }

    /// Resolves when the node is in this state.
    pub fn reached(&self, state: State) -> impl Future<Output = ()> + Send + use<> {
        let mut states = self.states();
        async move {
            if states.wait_for(|now| *now == state).await.is_err() {
                // The lifecycle is gone, so it never will be.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells the node what `ros2 lifecycle set` can tell it, and waits for the state it comes to. Dropping the
    /// future does not stop the transition.
    ///
    /// # Errors
    /// [`Error::TransitionRefused`] when that is not possible in this state, or while another transition runs;
    /// [`Error::TransitionFailed`] when the hook failed.
    pub async fn trigger(&self, transition: Transition) -> Result<State> {
        let core = &self.0.core;
        let outcome = core.begin(|told, _| told == transition, transition.label())?;
        let Outcome { state, problem } = outcome.await.map_err(|_| core.gone())?;
        match problem {
            None => Ok(state),
            Some(reason) => Err(Error::TransitionFailed {
                node: core.node.fully_qualified_name().into(),
                transition: transition.label(),
                reason,
                state: state.label(),
            }),
        }
    }
}

impl Core {
    fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Begins the transition that is meant, if there is one from here, and tells how it ends.
    fn begin(&self, meant: impl Fn(Transition, Step) -> bool, name: &str) -> Result<oneshot::Receiver<Outcome>> {
        // The events are held, so that of two at once only one finds the way open, and so that they are told in order.
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.state();
        if let Some((transition, step)) = machine::tellable(state).find(|(transition, step)| meant(*transition, *step)) {
            let (done, outcome) = oneshot::channel();
            self.orders.send(Order { transition, done }).map_err(|_| self.gone())?;
            self.take(&events, step);
            return Ok(outcome);
        }
        drop(events);
        let possible = machine::tellable(state).map(|(transition, _)| transition.label()).collect::<Vec<_>>().join(", ");
        Err(Error::TransitionRefused {
            node: self.node.fully_qualified_name().into(),
            transition: name.into(),
            state: state.label(),
            possible: if possible.is_empty() { "none".into() } else { possible },
        })
    }

    fn gone(&self) -> Error {
        Error::ShutDown { operation: format!("manage {}", self.node.fully_qualified_name()) }
    }

    /// The node is in another state from here on, and says so.
    fn take(&self, events: &Publisher<TransitionEvent>, step: Step) {
        self.state.send_replace(step.goal);
        if let Err(error) = events.publish(&services::event(step)) {
            tracing::debug!(node = self.node.fully_qualified_name(), %error, "a transition was not told");
        }
    }

    /// A hook has ended; where that leads.
    fn end(&self, ending: Ending) -> State {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(step) = machine::after(self.state(), ending) {
            self.take(&events, step);
        }
        self.state()
    }
}

/// Runs the hooks, one at a time.
async fn work<M: Managed>(core: std::sync::Weak<Core>, mut managed: M, mut queue: mpsc::UnboundedReceiver<Order>) {
    while let Some(Order { transition, done }) = queue.recv().await {
        let ran = match transition {
            Transition::Configure => caught(managed.on_configure()).await,
            Transition::Cleanup => caught(managed.on_cleanup()).await,
            Transition::Activate => caught(managed.on_activate()).await,
            Transition::Deactivate => caught(managed.on_deactivate()).await,
            Transition::Shutdown => caught(managed.on_shutdown()).await,
        };
        let Some(core) = core.upgrade() else { return };
        let node = core.node.fully_qualified_name();
        let outcome = match ran {
            Ok(()) => {
                let state = core.end(Ending::Success);
                tracing::info!(node, %transition, %state, "transition");
                Outcome { state, problem: None }
            }
            Err(HookError::Failure(reason)) => {
                let state = core.end(Ending::Failure);
                tracing::warn!(node, %transition, %state, reason, "transition failed");
                Outcome { state, problem: Some(reason) }
            }
            Err(HookError::Error(reason)) => {
                core.end(Ending::Error);
                let ending = match caught(managed.on_error(&reason)).await {
                    Ok(()) => Ending::Success,
                    Err(HookError::Failure(_)) => Ending::Failure,
                    Err(HookError::Error(_)) => Ending::Error,
                };
                let state = core.end(ending);
                tracing::error!(node, %transition, %state, reason, "transition ended in an error");
                Outcome { state, problem: Some(reason) }
            }
        };
        // Whoever told the node so may have gone.
        let _ = done.send(outcome);
    }
}

/// A hook that panics is a hook that ends in an error.
async fn caught(hook: impl Future<Output = Result<(), HookError>>) -> Result<(), HookError> {
    AssertUnwindSafe(hook).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
        Err(HookError::Error(format!("panic: {}", text.unwrap_or_default())))
    })
}
