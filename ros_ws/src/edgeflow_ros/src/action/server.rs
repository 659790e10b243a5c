//! Serving an action.

use super::{
    GoalId, GoalStatus,
    goals::{Goal, Goals},
    status_quality,
};
use crate::{
    error::{Error, Result},
    messages::action_msgs::{msg::GoalStatusArray, srv::CancelGoal},
    node::Node,
    publisher::Publisher,
    qos::QosProfile,
    service::{ServiceRequest, ServiceStream},
    stack::{self, Action},
};
use futures::{Stream, StreamExt};
use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
    time::{Instant, sleep_until},
};

/// How long the result of an ended goal can be asked for: rcl's default, but counted from the end of the goal.
const RESULT_TIMEOUT: Duration = Duration::from_secs(10);

/// The requests for goals of one action, as a stream that ends when the context is shut down.
///
/// Dropped, it takes no further goals; those it has accepted can still be finished.
pub struct ActionServer<A: Action> {
    requests: ServiceStream<A::SendGoal>,
    inner: Arc<Inner<A>>,
}

impl<A: Action> ActionServer<A> {
    pub(super) fn create(node: &Node, name: &str) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|e| Error::stack(format!("serve action {name}"), e))?;
        let requests = node.create_service(&format!("{name}/_action/send_goal"))?;
        let cancels = node.create_service(&format!("{name}/_action/cancel_goal"))?;
        let results = node.create_service(&format!("{name}/_action/get_result"))?;
        let shared = Arc::new(Shared {
            name: node.resolve_service(name)?,
            feedback: node.create_publisher(&format!("{name}/_action/feedback"), QosProfile::default())?,
            status: node.create_publisher(&format!("{name}/_action/status"), status_quality())?,
            state: Mutex::new(State { goals: Goals::default(), asked: BTreeSet::new(), result_timeout: RESULT_TIMEOUT }),
            ended: Notify::new(),
            node: node.clone(),
        });
        let (alive, gone) = oneshot::channel();
        runtime.spawn(serve(shared.clone(), cancels, results, gone));
        Ok(Self { requests, inner: Arc::new(Inner { shared, _alive: alive }) })
    }

    /// Absolute name of the action, after remaps of the node's name and namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.shared.name
    }

    /// How long the result of an ended goal can be asked for; ten seconds unless told.
    #[must_use]
    pub fn keep_results(self, timeout: Duration) -> Self {
        self.inner.shared.state().result_timeout = timeout;
        self
    }
}

impl<A: Action> Stream for ActionServer<A> {
    type Item = GoalRequest<A>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<GoalRequest<A>>> {
        loop {
            let Some(ServiceRequest { message, reply }) = ready!(self.requests.poll_next_unpin(cx)) else { return Poll::Ready(None) };
            let (id, goal) = A::destructure_goal_request_msg(message);
            // An id is good for one goal.
            match GoalId::from_msg(&id).filter(|id| self.inner.shared.ask(*id)) {
                Some(id) => return Poll::Ready(Some(GoalRequest { goal, id, reply: Some(reply), inner: self.inner.clone() })),
                None => {
                    tracing::warn!(action = self.inner.shared.name, "rejected a goal: its id is in use");
                    self.inner.shared.answer::<A::SendGoal>(reply, &A::make_goal_response_msg(false, self.inner.shared.node.now()));
                }
            }
        }
    }
}

/// What server, requests and goals hold; when the last of them goes, so do the services.
struct Inner<A: Action> {
    shared: Arc<Shared<A>>,
    _alive: oneshot::Sender<()>,
}

struct Shared<A: Action> {
    name: String,
    feedback: Publisher<A::FeedbackMessage>,
    status: Publisher<GoalStatusArray>,
    state: Mutex<State<A>>,
    /// A goal has ended, so there is one more to be forgotten some time.
    ended: Notify,
    node: Node,
}

struct State<A: Action> {
    goals: Goals<Ending<A>, stack::Reply<A::GetResult>>,
    /// Neither accepted nor rejected yet.
    asked: BTreeSet<GoalId>,
    result_timeout: Duration,
}

struct Ending<A: Action> {
    status: GoalStatus,
    result: A::Result,
}

impl<A: Action> Shared<A> {
    fn state(&self) -> MutexGuard<'_, State<A>> {
        // Nothing is left half done where it could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a goal is asked for; false when its id is in use.
    fn ask(&self, id: GoalId) -> bool {
        let mut state = self.state();
        state.goals.get(id).is_none() && state.asked.insert(id)
    }

    /// Whoever waited may have gone; that is not the server's trouble.
    fn answer<S: stack::Service>(&self, reply: stack::Reply<S>, response: &S::Response) {
        if let Err(error) = reply.respond(response) {
            tracing::debug!(action = self.name, %error, "an action's client went without its answer");
        }
    }

    /// Under the lock, so that statuses appear in the order in which they came to be.
    fn publish_status(&self, state: &State<A>) -> Result<()> {
        self.status.publish(&state.goals.statuses())
    }

    fn cancel(&self, request: ServiceRequest<CancelGoal::Service>) {
        let mut state = self.state();
        let response = state.goals.cancel(&request.message.goal_info);
        if !response.goals_canceling.is_empty()
            && let Err(error) = self.publish_status(&state)
        {
            tracing::debug!(action = self.name, %error, "the status of an action was not published");
        }
        drop(state);
        self.answer(request.reply, &response);
    }

    fn result(&self, request: ServiceRequest<A::GetResult>) {
        let ServiceRequest { message, reply } = request;
        let id = GoalId::from_msg(&A::destructure_result_request_msg(message));
        let mut state = self.state();
        let response = match id.and_then(|id| state.goals.get(id)) {
            None => A::make_result_response_msg(GoalStatus::Unknown.code(), A::Result::default()),
            Some(goal) => match &goal.result {
                None => return goal.waiting.push(reply),
                Some(ending) => A::make_result_response_msg(ending.status.code(), ending.result.clone()),
            },
        };
        drop(state);
        self.answer::<A::GetResult>(reply, &response);
    }

    fn finish(&self, id: GoalId, status: GoalStatus, result: A::Result) -> Result<()> {
        let mut state = self.state();
        let forgotten_at = Instant::now() + state.result_timeout;
        let response = A::make_result_response_msg(status.code(), result.clone());
        let waiting = state.goals.finish(id, status, Ending { status, result }, forgotten_at);
        let published = self.publish_status(&state);
        drop(state);
        self.ended.notify_one();
        waiting.into_iter().for_each(|reply| self.answer::<A::GetResult>(reply, &response));
        published
    }

    /// Resolves when ended goals have been forgotten.
    async fn forget(&self) {
        let next = self.state().goals.next_forgotten();
        match next {
            Some(at) => sleep_until(at).await,
            None => return self.ended.notified().await,
        }
        self.state().goals.forget(Instant::now());
    }
}

/// Answers what needs no decision of the node's.
async fn serve<A: Action>(
    shared: Arc<Shared<A>>,
    mut cancels: ServiceStream<CancelGoal::Service>,
    mut results: ServiceStream<A::GetResult>,
    mut gone: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            request = cancels.next() => match request {
                Some(request) => shared.cancel(request),
                None => return,
            },
            request = results.next() => match request {
                Some(request) => shared.result(request),
                None => return,
            },
            () = shared.forget() => {}
            _ = &mut gone => return,
        }
    }
}

/// A request for a goal. Dropped, it is rejected.
#[must_use = "a request that is dropped is rejected"]
pub struct GoalRequest<A: Action> {
    /// What is asked.
    pub goal: A::Goal,
    id: GoalId,
    reply: Option<stack::Reply<A::SendGoal>>,
    inner: Arc<Inner<A>>,
}

impl<A: Action> GoalRequest<A> {
    /// Identifies the goal.
    #[must_use]
    pub fn goal_id(&self) -> GoalId {
        self.id
    }

    /// Accepts: the goal is in execution from here on.
    ///
    /// # Errors
    /// A context shut down.
    pub fn accept(mut self) -> Result<ServerGoal<A>> {
        let shared = &self.inner.shared;
        let accepted_at = shared.node.now();
        let goal = Goal::new(self.id, accepted_at.clone());
        let status = goal.status.clone();
        let mut state = shared.state();
        state.asked.remove(&self.id);
        state.goals.add(goal);
        let response = A::make_goal_response_msg(true, accepted_at);
        let told = match self.reply.take() {
            Some(reply) => reply.respond(&response).and_then(|()| shared.publish_status(&state)),
            None => Ok(()),
        };
        let begun = told.and_then(|()| {
            status.send_replace(GoalStatus::Executing);
            shared.publish_status(&state)
        });
        if let Err(error) = begun {
            state.goals.remove(self.id);
            return Err(error);
        }
        drop(state);
        Ok(ServerGoal { goal: std::mem::take(&mut self.goal), id: self.id, status, ended: false, inner: self.inner.clone() })
    }

    /// Rejects.
    pub fn reject(self) {
        drop(self);
    }
}

impl<A: Action> Drop for GoalRequest<A> {
    fn drop(&mut self) {
        let Some(reply) = self.reply.take() else { return };
        let shared = &self.inner.shared;
        shared.state().asked.remove(&self.id);
        shared.answer::<A::SendGoal>(reply, &A::make_goal_response_msg(false, shared.node.now()));
    }
}

/// A goal in execution. Dropped before its end, it is aborted with a default result.
#[must_use = "a goal that is dropped is aborted"]
pub struct ServerGoal<A: Action> {
    goal: A::Goal,
    id: GoalId,
    status: tokio::sync::watch::Sender<GoalStatus>,
    ended: bool,
    inner: Arc<Inner<A>>,
}

impl<A: Action> ServerGoal<A> {
    /// What is asked.
    #[must_use]
    pub fn goal(&self) -> &A::Goal {
        &self.goal
    }

    /// Identifies the goal.
    #[must_use]
    pub fn goal_id(&self) -> GoalId {
        self.id
    }

    /// Clients that wait for its result now.
    #[must_use]
    pub fn waiting_clients(&self) -> usize {
        self.inner.shared.state().goals.get(self.id).map_or(0, |goal| goal.waiting.len())
    }

    /// Tells how far it is.
    ///
    /// # Errors
    /// A message that cannot be encoded, or a context shut down.
    pub fn feedback(&self, feedback: A::Feedback) -> Result<()> {
        self.inner.shared.feedback.publish(&A::make_feedback_msg(self.id.to_msg(), feedback))
    }

    /// Whether a client wants it canceled. The goal then ends as [`ServerGoal::canceled`], or otherwise if it was too late.
    #[must_use]
    pub fn is_canceling(&self) -> bool {
        *self.status.borrow() == GoalStatus::Canceling
    }

    /// Resolves when a client wants it canceled.
    pub fn canceling(&self) -> impl Future<Output = ()> + Send + use<A> {
        let mut status = self.status.subscribe();
        async move {
            if status.wait_for(|status| *status == GoalStatus::Canceling).await.is_err() {
                // The goal has ended without.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The point of no return: from here on cancel requests are rejected. False when one was accepted already.
    #[must_use = "false means that the goal is being canceled"]
    pub fn refuse_cancel(&self) -> bool {
        self.inner.shared.state().goals.refuse_cancel(self.id)
    }

    /// Ends it as achieved.
    ///
    /// # Errors
    /// A context shut down.
    pub fn succeed(mut self, result: A::Result) -> Result<()> {
        self.end(GoalStatus::Succeeded, result)
    }

    /// Ends it as not achieved.
    ///
    /// # Errors
    /// A context shut down.
    pub fn abort(mut self, result: A::Result) -> Result<()> {
        self.end(GoalStatus::Aborted, result)
    }

    /// Ends it as canceled. Where no client has asked for that, it is aborted: only a client cancels.
    ///
    /// # Errors
    /// A context shut down.
    pub fn canceled(mut self, result: A::Result) -> Result<()> {
        let status = if self.is_canceling() { GoalStatus::Canceled } else { GoalStatus::Aborted };
        self.end(status, result)
    }

    fn end(&mut self, status: GoalStatus, result: A::Result) -> Result<()> {
        self.ended = true;
        self.inner.shared.finish(self.id, status, result)
    }
}

impl<A: Action> Drop for ServerGoal<A> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let shared = &self.inner.shared;
        tracing::warn!(action = shared.name, goal = %self.id, "a goal was dropped before its end: aborted");
        if let Err(error) = shared.finish(self.id, GoalStatus::Aborted, A::Result::default()) {
            tracing::debug!(action = shared.name, %error, "the status of an action was not published");
        }
    }
}
