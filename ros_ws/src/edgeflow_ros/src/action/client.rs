//! Asking goals of an action.

use super::{GoalId, GoalStatus, status_quality};
use crate::{
    client::Client,
    constants::action_msgs::srv::CancelGoal::Response as code,
    error::{Error, Result},
    messages::action_msgs::{
        msg::{GoalInfo, GoalStatusArray},
        srv::CancelGoal,
    },
    node::{Node, Watch},
    qos::QosProfile,
    queue::{Inbox, Queue, Reader},
    stack::Action,
    subscription::Subscription,
};
use futures::{Stream, StreamExt};
use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
    task::AbortHandle,
    time::Instant,
};

/// A goal may take as long as it takes; whoever asks for its result says how long they wait.
const UNTIL_IT_ENDS: Duration = Duration::from_secs(365 * 24 * 3600);

/// Asks goals of one action. Goals may run concurrently.
pub struct ActionClient<A: Action>(Arc<Inner<A>>);

struct Inner<A: Action> {
    name: String,
    send_goal: Client<A::SendGoal>,
    cancel_goal: Client<CancelGoal::Service>,
    get_result: Client<A::GetResult>,
    goals: Arc<Mutex<Goals<A>>>,
    /// Goals whose end is known, for the task that passes feedback on. As many as there are goals.
    ended: mpsc::UnboundedSender<GoalId>,
    listener: AbortHandle,
    runtime: Handle,
    node: Node,
}

/// Those somebody holds on to.
type Goals<A> = HashMap<GoalId, Followed<A>>;

struct Followed<A: Action> {
    feedback: Arc<Inbox<A::Feedback>>,
    status: watch::Sender<GoalStatus>,
}

/// How a goal ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome<R> {
    /// One of the terminal ones.
    pub status: GoalStatus,
    /// The action's result; a default one where the server gave none.
    pub result: R,
}

impl<A: Action> ActionClient<A> {
    pub(super) fn create(node: &Node, name: &str) -> Result<Self> {
        let runtime = Handle::try_current().map_err(|e| Error::stack(format!("use action {name}"), e))?;
        let goals = Arc::new(Mutex::new(HashMap::new()));
        let (ended, ends) = mpsc::unbounded_channel();
        let feedback = node.subscribe(&format!("{name}/_action/feedback"), QosProfile::default(), Queue::all())?;
        let status = node.subscribe(&format!("{name}/_action/status"), status_quality(), Queue::all())?;
        let listener = runtime.spawn(listen::<A>(goals.clone(), feedback, status, ends)).abort_handle();
        Ok(Self(Arc::new(Inner {
            name: node.resolve_service(name)?,
            send_goal: node.create_client(&format!("{name}/_action/send_goal"))?,
            cancel_goal: node.create_client(&format!("{name}/_action/cancel_goal"))?,
            get_result: node.create_client(&format!("{name}/_action/get_result"))?,
            goals,
            ended,
            listener,
            runtime,
            node: node.clone(),
        })))
    }

    /// Absolute name of the action.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Waits until a server is there, with all its services and topics.
    ///
    /// # Errors
    /// [`Error::ActionUnavailable`] when none came in time, or a context shut down.
    pub async fn wait_for_server(&self, timeout: Duration) -> Result<()> {
        let inner = &self.0;
        let missing = || Error::ActionUnavailable { name: inner.name.clone(), timeout };
        let deadline = Instant::now() + timeout;
        let left = || deadline.saturating_duration_since(Instant::now());
        let services = async {
            inner.send_goal.wait_for_service(left()).await?;
            inner.cancel_goal.wait_for_service(left()).await?;
            inner.get_result.wait_for_service(left()).await
        };
        services.await.map_err(|error| if matches!(error, Error::ServiceUnavailable { .. }) { missing() } else { error })?;
        for topic in ["feedback", "status"] {
            let topic = format!("{}/_action/{topic}", inner.name);
            let published = || inner.node.count_publishers(&topic).is_ok_and(|count| count > 0);
            if !Watch::until(&inner.node, left(), published).await {
                return Err(missing());
            }
        }
        Ok(())
    }

    /// Asks a goal, and waits until the server has accepted it.
    ///
    /// # Errors
    /// [`Error::GoalRejected`], no answer in time, no server, or a context shut down.
    pub async fn send_goal(&self, goal: A::Goal, timeout: Duration) -> Result<ClientGoal<A>> {
        let inner = &self.0;
        let id = GoalId::random();
        // Followed before it is asked, since feedback may overtake the answer.
        let feedback = Inbox::new(Queue::all());
        let status = watch::Sender::new(GoalStatus::Unknown);
        let known = status.subscribe();
        inner.goals().insert(id, Followed { feedback: feedback.clone(), status });
        let end = watch::Sender::new(End::Ahead);
        let mut accepted =
            ClientGoal { id, feedback: Reader(feedback), status: known, end: end.subscribe(), follower: None, inner: inner.clone() };
        let response = inner.send_goal.call(&A::make_goal_request_msg(id.to_msg(), goal), timeout).await?;
        if !A::destructure_goal_response_msg(response).0 {
            return Err(Error::GoalRejected { name: inner.name.clone() });
        }
        accepted.follower = Some(inner.runtime.spawn(follow(inner.clone(), id, end)).abort_handle());
        Ok(accepted)
    }
}

impl<A: Action> Inner<A> {
    fn goals(&self) -> MutexGuard<'_, Goals<A>> {
        self.goals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn result(&self, id: GoalId, timeout: Duration) -> Result<Outcome<A::Result>> {
        let response = self.get_result.call(&A::make_result_request_msg(id.to_msg()), timeout).await?;
        let (status, result) = A::destructure_result_response_msg(response);
        match GoalStatus::from_code(status) {
            status if status.is_terminal() => Ok(Outcome { status, result }),
            _ => Err(Error::GoalUnknown { name: self.name.clone(), goal: id.to_string() }),
        }
    }
}

impl<A: Action> Drop for Inner<A> {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// Passes feedback and statuses on to whoever follows the goal.
async fn listen<A: Action>(
    goals: Arc<Mutex<Goals<A>>>,
    mut feedback: Subscription<A::FeedbackMessage>,
    mut status: Subscription<GoalStatusArray>,
    mut ends: mpsc::UnboundedReceiver<GoalId>,
) {
    let lock = || goals.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        tokio::select! {
            // What has arrived before the end is passed on before the end.
            biased;
            message = feedback.next() => {
                let Some(message) = message else { break };
                let (id, feedback) = A::destructure_feedback_msg(message);
                if let Some(goal) = GoalId::from_msg(&id).and_then(|id| lock().get(&id).map(|goal| goal.feedback.clone())) {
                    goal.push(feedback);
                }
            }
            message = status.next() => {
                let Some(message) = message else { break };
                let goals = lock();
                for status in &message.status_list {
                    if let Some(goal) = GoalId::from_msg(&status.goal_info.goal_id).and_then(|id| goals.get(&id)) {
                        goal.status.send_replace(GoalStatus::from_code(status.status));
                    }
                }
            }
            id = ends.recv() => {
                let Some(id) = id else { break };
                if let Some(goal) = lock().get(&id) {
                    goal.feedback.close();
                }
            }
        }
    }
    // The context is shut down.
    lock().values().for_each(|goal| goal.feedback.close());
}

/// Whether and how a goal has ended.
enum End<R> {
    Ahead,
    Known(Outcome<R>),
    /// The server could not be asked.
    Unheard,
}

/// Waits for the end of a goal.
async fn follow<A: Action>(inner: Arc<Inner<A>>, id: GoalId, end: watch::Sender<End<A::Result>>) {
    let closed = inner.node.context().closed();
    let outcome = tokio::select! {
        outcome = inner.result(id, UNTIL_IT_ENDS) => outcome,
        () = closed => Err(Error::ShutDown { operation: format!("wait for the result of {}", inner.name) }),
    };
    end.send_replace(match outcome {
        Ok(outcome) => End::Known(outcome),
        Err(error) => {
            tracing::debug!(action = inner.name, goal = %id, %error, "the end of a goal was not heard");
            End::Unheard
        }
    });
    // The listener is there for as long as the client is.
    let _ = inner.ended.send(id);
}

/// A goal that was accepted: a stream of its feedback, which ends when the goal does.
pub struct ClientGoal<A: Action> {
    id: GoalId,
    feedback: Reader<A::Feedback>,
    status: watch::Receiver<GoalStatus>,
    end: watch::Receiver<End<A::Result>>,
    follower: Option<AbortHandle>,
    inner: Arc<Inner<A>>,
}

impl<A: Action> ClientGoal<A> {
    /// Identifies the goal.
    #[must_use]
    pub fn goal_id(&self) -> GoalId {
        self.id
    }

    /// Where the goal is, as far as was heard.
    #[must_use]
    pub fn status(&self) -> GoalStatus {
        match &*self.end.borrow() {
            End::Known(outcome) => outcome.status,
            End::Ahead | End::Unheard => match *self.status.borrow() {
                // The answer to the request said so much.
                GoalStatus::Unknown => GoalStatus::Accepted,
                status => status,
            },
        }
    }

    /// Waits for the end of the goal.
    ///
    /// # Errors
    /// [`Error::GoalTimeout`] when it has not ended in time, [`Error::GoalUnknown`] when the server has
    /// forgotten it, a server that has gone, or a context shut down.
    pub async fn result(&self, timeout: Duration) -> Result<Outcome<A::Result>> {
        let late = || Error::GoalTimeout { name: self.inner.name.clone(), goal: self.id.to_string(), timeout };
        let deadline = Instant::now() + timeout;
        let mut end = self.end.clone();
        let heard = async {
            match end.wait_for(|end| !matches!(end, End::Ahead)).await.as_deref() {
                Ok(End::Known(outcome)) => Some(outcome.clone()),
                Ok(End::Ahead | End::Unheard) | Err(_) => None,
            }
        };
        if let Some(outcome) = tokio::time::timeout(timeout, heard).await.map_err(|_| late())? {
            return Ok(outcome);
        }
        // The server may be back.
        let asked = self.inner.result(self.id, deadline.saturating_duration_since(Instant::now())).await;
        asked.map_err(|error| if matches!(error, Error::ServiceTimeout { .. }) { late() } else { error })
    }

    /// Asks the server to cancel the goal, and waits for its consent. The goal ends after that: see
    /// [`ClientGoal::result`].
    ///
    /// # Errors
    /// [`Error::CancelRejected`], no answer in time, a server that has gone, or a context shut down.
    pub async fn cancel(&self, timeout: Duration) -> Result<()> {
        let goal_info = GoalInfo { goal_id: self.id.to_msg(), ..Default::default() };
        let response = self.inner.cancel_goal.call(&CancelGoal::Request { goal_info }, timeout).await?;
        let reason = match response.return_code {
            code::ERROR_NONE if response.goals_canceling.iter().any(|info| GoalId::from_msg(&info.goal_id) == Some(self.id)) => {
                return Ok(());
            }
            code::ERROR_UNKNOWN_GOAL_ID => "the server does not know it",
            code::ERROR_GOAL_TERMINATED => "it has ended, or is being canceled",
            _ => "the server rejects it",
        };
        Err(Error::CancelRejected { name: self.inner.name.clone(), goal: self.id.to_string(), reason })
    }
}

impl<A: Action> Stream for ClientGoal<A> {
    type Item = A::Feedback;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<A::Feedback>> {
        self.feedback.poll_next_unpin(cx)
    }
}

impl<A: Action> Drop for ClientGoal<A> {
    fn drop(&mut self) {
        if let Some(follower) = &self.follower {
            follower.abort();
        }
        self.inner.goals().remove(&self.id);
    }
}
