//! Managed nodes: every way between the states, the refused ones, errors, and what others are told.

use super::{PATIENCE, World, next};
use edgeflow_ros::{
    Context, Error, Node, QosProfile, Queue, Service, Subscription,
    lifecycle::{HookError, Lifecycle, Managed, State, Transition},
    lifecycle_msgs::{
        msg::{Transition as TransitionMsg, TransitionDescription, TransitionEvent},
        srv::{ChangeState, GetAvailableStates, GetAvailableTransitions, GetState},
    },
};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::sync::{Notify, oneshot};

/// What the next hooks answer; those that are not told anything succeed.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    ran: Arc<Mutex<Vec<String>>>,
}

enum Answer {
    Fail,
    Break,
    Panic,
    /// Tells that it has begun, and waits.
    Wait(oneshot::Sender<()>, Arc<Notify>),
}

impl Script {
    fn then(&self, answer: Answer) -> &Self {
        self.answers.lock().unwrap().push_back(answer);
        self
    }

    fn ran(&self) -> Vec<String> {
        std::mem::take(&mut *self.ran.lock().unwrap())
    }

    async fn play(&self, hook: &str) -> Result<(), HookError> {
        self.ran.lock().unwrap().push(hook.to_string());
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            None => Ok(()),
            Some(Answer::Fail) => Err("not today".into()),
            Some(Answer::Break) => Err(HookError::Error("broken".into())),
            Some(Answer::Panic) => panic!("out of bounds"),
            Some(Answer::Wait(begun, go_on)) => {
                begun.send(()).unwrap();
                go_on.notified().await;
                Ok(())
            }
        }
    }
}

impl Managed for Script {
    async fn on_configure(&mut self) -> Result<(), HookError> {
        self.play("configure").await
    }

    async fn on_activate(&mut self) -> Result<(), HookError> {
        self.play("activate").await
    }

    async fn on_deactivate(&mut self) -> Result<(), HookError> {
        self.play("deactivate").await
    }

    async fn on_cleanup(&mut self) -> Result<(), HookError> {
        self.play("cleanup").await
    }

    async fn on_shutdown(&mut self) -> Result<(), HookError> {
        self.play("shutdown").await
    }

    async fn on_error(&mut self, reason: &str) -> Result<(), HookError> {
        self.play(&format!("error: {reason}")).await
    }
}

/// A program with managed nodes, and a tool in another.
struct Fleet {
    robots: Context,
    tool: Node,
    _world: World,
}

impl Fleet {
    fn new() -> Self {
        let world = World::new();
        let tool = Node::create(&world.program(""), "tool", "").unwrap();
        Self { robots: world.program(""), tool, _world: world }
    }

    /// A fresh node, brought to a primary state.
    async fn robot(&self, state: State) -> Robot {
        use Transition::{Activate, Configure, Shutdown};
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("robot_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let node = Node::create(&self.robots, &name, "").unwrap();
        let script = Script::default();
        let lifecycle = Lifecycle::serve(&node, script.clone()).unwrap();
        let way: &[Transition] = match state {
            State::Inactive => &[Configure],
            State::Active => &[Configure, Activate],
            State::Finalized => &[Shutdown],
            _ => &[],
        };
        for transition in way {
            lifecycle.trigger(*transition).await.unwrap();
        }
        assert_eq!(lifecycle.state(), state);
        script.ran();
        Robot { name: format!("/{name}"), script, lifecycle, tool: self.tool.clone() }
    }
}

struct Robot {
    name: String,
    script: Script,
    lifecycle: Lifecycle,
    tool: Node,
}

impl Robot {
    async fn ask<S: Service>(&self, service: &str, request: S::Request) -> S::Response {
        let client = self.tool.create_client::<S>(&format!("{}/{service}", self.name)).unwrap();
        client.wait_for_service(PATIENCE).await.unwrap();
        client.call(&request, PATIENCE).await.unwrap()
    }

    /// As `ros2 service call` would.
    async fn change(&self, id: u8, label: &str) -> bool {
        let transition = TransitionMsg { id, label: label.into() };
        self.ask::<ChangeState::Service>("change_state", ChangeState::Request { transition }).await.success
    }

    /// As `ros2 lifecycle get` prints it.
    async fn state(&self) -> String {
        let state = self.ask::<GetState::Service>("get_state", GetState::Request::default()).await.current_state;
        format!("{} [{}]", state.label, state.id)
    }

    /// As `ros2 lifecycle list` prints them, and with `--all`.
    async fn transitions(&self, service: &str) -> Vec<String> {
        let request = GetAvailableTransitions::Request::default();
        let response = self.ask::<GetAvailableTransitions::Service>(service, request).await;
        let line = |t: TransitionDescription| {
            format!("{} [{}] {} > {}", t.transition.label, t.transition.id, t.start_state.label, t.goal_state.label)
        };
        response.available_transitions.into_iter().map(line).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transition_runs_its_hook_and_comes_to_its_state() {
    use State::{Active, Finalized, Inactive, Unconfigured};
    use Transition::{Activate, Cleanup, Configure, Deactivate, Shutdown};
    let fleet = Fleet::new();
    for (from, transition, success, failure) in [
        (Unconfigured, Configure, Inactive, Unconfigured),
        (Inactive, Cleanup, Unconfigured, Inactive),
        (Inactive, Activate, Active, Inactive),
        (Active, Deactivate, Inactive, Active),
        (Unconfigured, Shutdown, Finalized, Finalized),
        (Inactive, Shutdown, Finalized, Finalized),
        (Active, Shutdown, Finalized, Finalized),
    ] {
        let robot = fleet.robot(from).await;
        assert_eq!(robot.lifecycle.trigger(transition).await.unwrap(), success, "{from} {transition}");
        assert_eq!(robot.script.ran(), [transition.label()]);

        let robot = fleet.robot(from).await;
        robot.script.then(Answer::Fail);
        let error = robot.lifecycle.trigger(transition).await.unwrap_err().to_string();
        let expected = format!("transition {transition} of {} failed, it is {failure} now: not today", robot.name);
        assert_eq!((error, robot.lifecycle.state()), (expected, failure));
        assert_eq!(robot.script.ran(), [transition.label()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_cleaned_up_after_or_ends_the_node() {
    use State::{Active, Finalized, Inactive, Unconfigured};
    use Transition::{Activate, Cleanup, Configure, Deactivate, Shutdown};
    let fleet = Fleet::new();
    for (from, transition) in
        [(Unconfigured, Configure), (Inactive, Cleanup), (Inactive, Activate), (Active, Deactivate), (Inactive, Shutdown)]
    {
        let robot = fleet.robot(from).await;
        robot.script.then(Answer::Break);
        let error = robot.lifecycle.trigger(transition).await.unwrap_err();
        assert!(matches!(&error, Error::TransitionFailed { reason, .. } if reason == "broken"), "{error}");
        assert_eq!(robot.lifecycle.state(), Unconfigured, "{from} {transition}");
        assert_eq!(robot.script.ran(), [transition.label(), "error: broken"]);
    }
    for answer in [Answer::Fail, Answer::Break, Answer::Panic] {
        let robot = fleet.robot(Inactive).await;
        robot.script.then(Answer::Break).then(answer);
        robot.lifecycle.trigger(Activate).await.unwrap_err();
        assert_eq!(robot.lifecycle.state(), Finalized);
    }
    let robot = fleet.robot(Unconfigured).await;
    robot.script.then(Answer::Panic);
    robot.lifecycle.trigger(Configure).await.unwrap_err();
    assert_eq!(robot.script.ran(), ["configure", "error: panic: out of bounds"]);
    assert_eq!(robot.lifecycle.trigger(Configure).await.unwrap(), Inactive, "the node lives on");

    struct Plain;
    impl Managed for Plain {
        async fn on_configure(&mut self) -> Result<(), HookError> {
            Err(HookError::Error("no memory".into()))
        }
    }
    let node = Node::create(&fleet.robots, "plain", "").unwrap();
    let lifecycle = Lifecycle::serve(&node, Plain).unwrap();
    lifecycle.trigger(Configure).await.unwrap_err();
    assert_eq!(lifecycle.state(), Finalized, "without a hook for errors an error is the end");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_possible_in_a_state_is_refused() {
    use State::{Active, Finalized, Inactive, Unconfigured};
    use Transition::{Activate, Cleanup, Configure, Deactivate, Shutdown};
    let fleet = Fleet::new();
    for (from, possible) in [
        (Unconfigured, &[Configure, Shutdown][..]),
        (Inactive, &[Cleanup, Activate, Shutdown]),
        (Active, &[Deactivate, Shutdown]),
        (Finalized, &[]),
    ] {
        let robot = fleet.robot(from).await;
        let labels = possible.iter().map(|t| t.label()).collect::<Vec<_>>().join(", ");
        let labels = if labels.is_empty() { "none".to_string() } else { labels };
        for transition in [Configure, Cleanup, Activate, Deactivate, Shutdown].into_iter().filter(|t| !possible.contains(t)) {
            let error = robot.lifecycle.trigger(transition).await.unwrap_err();
            assert!(
                matches!(&error, Error::TransitionRefused { state, possible, .. } if *state == from.label() && *possible == labels),
                "{error}"
            );
            assert!(!robot.change(0, transition.label()).await, "{from} {transition}");
        }
        // The endings of hooks are not for others to tell, nor is the shutdown of another state.
        for id in [0, 10, 11, 12, 60, 99] {
            assert!(!robot.change(id, "").await, "{from} {id}");
        }
        assert!(!robot.change(0, "transition_success").await);
        assert_eq!((robot.lifecycle.state(), robot.script.ran()), (from, vec![]));
    }
    assert!(!fleet.robot(Inactive).await.change(5, "").await, "5 is the shutdown of an unconfigured node");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_while_a_transition_runs_is_refused() {
    let fleet = Fleet::new();
    let robot = fleet.robot(State::Unconfigured).await;
    let (begun, has_begun) = oneshot::channel();
    let go_on = Arc::new(Notify::new());
    robot.script.then(Answer::Wait(begun, go_on.clone()));
    let configure = {
        let lifecycle = robot.lifecycle.clone();
        tokio::spawn(async move { lifecycle.trigger(Transition::Configure).await })
    };
    has_begun.await.unwrap();
    assert_eq!(robot.state().await, "configuring [10]", "others are answered meanwhile");
    assert!(!robot.change(0, "shutdown").await);
    assert!(!robot.change(10, "").await, "nor can the hook's ending be told");
    let error = robot.lifecycle.trigger(Transition::Configure).await.unwrap_err();
    assert!(matches!(error, Error::TransitionRefused { state: "configuring", .. }), "{error}");
    go_on.notify_one();
    assert_eq!(configure.await.unwrap().unwrap(), State::Inactive);
    assert_eq!(robot.script.ran(), ["configure"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_change_the_state_by_number_or_by_label() {
    let fleet = Fleet::new();
    let robot = fleet.robot(State::Unconfigured).await;
    assert_eq!(robot.state().await, "unconfigured [1]");
    assert!(robot.change(1, "").await);
    assert_eq!(robot.state().await, "inactive [2]");
    assert!(robot.change(0, "activate").await);
    assert_eq!(robot.state().await, "active [3]");
    // The label goes before the number.
    assert!(robot.change(7, "deactivate").await);
    assert_eq!(robot.state().await, "inactive [2]");
    robot.script.then(Answer::Fail);
    assert!(!robot.change(2, "").await, "a failed hook is no success");
    assert!(robot.change(2, "cleanup").await);
    assert!(robot.change(5, "").await);
    assert_eq!(robot.state().await, "finalized [4]");
    assert_eq!(robot.script.ran(), ["configure", "activate", "deactivate", "cleanup", "cleanup", "shutdown"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn states_and_transitions_are_listed_with_rcls_numbers() {
    let fleet = Fleet::new();
    let robot = fleet.robot(State::Inactive).await;
    let states = robot.ask::<GetAvailableStates::Service>("get_available_states", GetAvailableStates::Request::default()).await;
    let states: Vec<_> = states.available_states.into_iter().map(|s| format!("{} {}", s.id, s.label)).collect();
    assert_eq!(
        states,
        [
            "0 unknown",
            "1 unconfigured",
            "2 inactive",
            "3 active",
            "4 finalized",
            "10 configuring",
            "11 cleaningup",
            "12 shuttingdown",
            "13 activating",
            "14 deactivating",
            "15 errorprocessing"
        ]
    );
    assert_eq!(
        robot.transitions("get_available_transitions").await,
        ["cleanup [2] inactive > cleaningup", "activate [3] inactive > activating", "shutdown [6] inactive > shuttingdown"]
    );
    assert_eq!(
        robot.transitions("get_transition_graph").await,
        [
            "configure [1] unconfigured > configuring",
            "transition_success [10] configuring > inactive",
            "transition_failure [11] configuring > unconfigured",
            "transition_error [12] configuring > errorprocessing",
            "cleanup [2] inactive > cleaningup",
            "transition_success [20] cleaningup > unconfigured",
            "transition_failure [21] cleaningup > inactive",
            "transition_error [22] cleaningup > errorprocessing",
            "activate [3] inactive > activating",
            "transition_success [30] activating > active",
            "transition_failure [31] activating > inactive",
            "transition_error [32] activating > errorprocessing",
            "deactivate [4] active > deactivating",
            "transition_success [40] deactivating > inactive",
            "transition_failure [41] deactivating > active",
            "transition_error [42] deactivating > errorprocessing",
            "shutdown [5] unconfigured > shuttingdown",
            "shutdown [6] inactive > shuttingdown",
            "shutdown [7] active > shuttingdown",
            "transition_success [50] shuttingdown > finalized",
            "transition_failure [51] shuttingdown > finalized",
            "transition_error [52] shuttingdown > errorprocessing",
            "transition_success [60] errorprocessing > unconfigured",
            "transition_failure [61] errorprocessing > finalized",
            "transition_error [62] errorprocessing > finalized",
        ]
    );
}

/// The next event, in one line.
async fn event(events: &mut Subscription<TransitionEvent>) -> String {
    let event = next(events).await;
    format!("{} [{}] {} > {}", event.transition.label, event.transition.id, event.start_state.label, event.goal_state.label)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_is_told_in_order() {
    let fleet = Fleet::new();
    let robot = fleet.robot(State::Unconfigured).await;
    let topic = format!("{}/transition_event", robot.name);
    let mut events = robot.tool.subscribe::<TransitionEvent>(&topic, QosProfile::default(), Queue::all()).unwrap();
    assert!(robot.tool.wait_for_graph(PATIENCE, |node| node.count_publishers(&topic).is_ok_and(|count| count > 0)).await);
    // An answered request shows that the subscription, which was made before it, is known over there.
    assert_eq!(robot.state().await, "unconfigured [1]");
    robot.lifecycle.trigger(Transition::Configure).await.unwrap();
    assert_eq!(event(&mut events).await, "configure [1] unconfigured > configuring");
    assert_eq!(event(&mut events).await, "transition_success [10] configuring > inactive");
    robot.script.then(Answer::Break);
    robot.lifecycle.trigger(Transition::Activate).await.unwrap_err();
    assert_eq!(event(&mut events).await, "activate [3] inactive > activating");
    assert_eq!(event(&mut events).await, "transition_error [32] activating > errorprocessing");
    assert_eq!(event(&mut events).await, "transition_success [60] errorprocessing > unconfigured");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_can_await_its_own_state() {
    let fleet = Fleet::new();
    let robot = fleet.robot(State::Unconfigured).await;
    let active = robot.lifecycle.reached(State::Active);
    let mut states = robot.lifecycle.states();
    assert!(!robot.lifecycle.is_active());
    assert!(robot.change(1, "").await && robot.change(3, "").await);
    tokio::time::timeout(PATIENCE, active).await.unwrap();
    assert!(robot.lifecycle.is_active());
    assert_eq!(*states.borrow_and_update(), State::Active);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifecycle_that_is_dropped_is_served_no_more() {
    let fleet = Fleet::new();
    let robot = fleet.robot(State::Unconfigured).await;
    let client = robot.tool.create_client::<GetState::Service>(&format!("{}/get_state", robot.name)).unwrap();
    client.wait_for_service(PATIENCE).await.unwrap();
    drop(robot.lifecycle);
    let refused = async { while client.call(&GetState::Request::default(), Duration::from_secs(1)).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, refused).await.unwrap();
}
