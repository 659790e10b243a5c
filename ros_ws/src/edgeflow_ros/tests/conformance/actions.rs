//! Goals: accepted, rejected, followed, canceled, ended, asked for late.

use super::{PATIENCE, World, next};
use edgeflow_ros::{
    ActionClient, ActionServer, ClientGoal, Error, GoalStatus, Node, QosProfile, Queue, ServerGoal, Subscription,
    action_msgs::{
        msg::{GoalInfo, GoalStatusArray},
        srv::CancelGoal,
    },
    builtin_interfaces::msg::Time,
    constants::{action_msgs::srv::CancelGoal::Response as code, edgeflow_msgs::action::DeployModel::Feedback as step},
    edgeflow_msgs::action::DeployModel::{Action, Feedback, GetResult, Goal, Result as Done, SendGoal},
    unique_identifier_msgs::msg::UUID,
};
use futures::StreamExt;
use std::time::Duration;

/// A server and a client, each a program of its own.
struct Pair {
    robot: Node,
    tool: Node,
    server: ActionServer<Action>,
    client: ActionClient<Action>,
}

impl Pair {
    async fn new(world: &World) -> Self {
        let robot = Node::create(&world.program("--ros-args -r __ns:=/robot_1"), "inference_node", "").unwrap();
        let tool = Node::create(&world.program(""), "tool", "").unwrap();
        let server = robot.create_action_server("~/deploy_model").unwrap();
        let client = tool.create_action_client("/robot_1/inference_node/deploy_model").unwrap();
        client.wait_for_server(PATIENCE).await.unwrap();
        Self { robot, tool, server, client }
    }

    /// A goal that both sides hold.
    async fn accepted(&mut self) -> (ServerGoal<Action>, ClientGoal<Action>) {
        let accept = async { next(&mut self.server).await.accept().unwrap() };
        let (served, asked) = tokio::join!(accept, self.client.send_goal(goal(), PATIENCE));
        (served, asked.unwrap())
    }

    /// Asks the server to cancel, with whatever is in the request.
    async fn cancel(&self, goal_id: UUID, stamp: Time) -> CancelGoal::Response {
        let client = self.tool.create_client::<CancelGoal::Service>("/robot_1/inference_node/deploy_model/_action/cancel_goal").unwrap();
        client.wait_for_service(PATIENCE).await.unwrap();
        client.call(&CancelGoal::Request { goal_info: GoalInfo { goal_id, stamp } }, PATIENCE).await.unwrap()
    }
}

fn goal() -> Goal {
    Goal { bundle_path: "/var/lib/models/7".into(), model_name: "label-reader".into(), ..Default::default() }
}

fn done(message: &str) -> Done {
    Done { success: true, message: message.into(), swap_gap_us: 12, ..Default::default() }
}

fn feedback(status: u8, progress: f32) -> Feedback {
    Feedback { status, progress }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_is_followed_to_its_success() {
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    assert_eq!((pair.server.name(), pair.client.name()), ("/robot_1/inference_node/deploy_model", "/robot_1/inference_node/deploy_model"));
    let (served, mut asked) = pair.accepted().await;
    assert_eq!((served.goal(), served.goal_id()), (&goal(), asked.goal_id()));
    let told = [feedback(step::VERIFYING, 0.25), feedback(step::WARMING, 0.5), feedback(step::ACTIVE, 1.0)];
    for told in &told {
        served.feedback(told.clone()).unwrap();
    }
    assert_eq!(next(&mut asked).await, told[0], "feedback comes while the goal is in execution");
    served.succeed(done("swapped")).unwrap();
    let outcome = asked.result(PATIENCE).await.unwrap();
    assert_eq!((outcome.status, outcome.result), (GoalStatus::Succeeded, done("swapped")));
    assert_eq!(asked.status(), GoalStatus::Succeeded);
    assert_eq!(asked.by_ref().collect::<Vec<_>>().await, told[1..], "the rest, and then the end");
    assert_eq!(asked.result(Duration::ZERO).await.unwrap().status, GoalStatus::Succeeded, "asked again");
}

#[tokio::test(flavor = "multi_thread")]
async fn goals_run_side_by_side_and_keep_their_feedback_apart() {
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    let (first, mut first_asked) = pair.accepted().await;
    let (second, mut second_asked) = pair.accepted().await;
    assert_ne!(first.goal_id(), second.goal_id());
    first.feedback(feedback(step::WARMING, 0.1)).unwrap();
    second.feedback(feedback(step::WARMING, 0.2)).unwrap();
    second.succeed(done("second")).unwrap();
    first.abort(done("first")).unwrap();
    let (one, two) = (first_asked.result(PATIENCE).await.unwrap(), second_asked.result(PATIENCE).await.unwrap());
    assert_eq!((one.status, one.result.message.as_str()), (GoalStatus::Aborted, "first"));
    assert_eq!((two.status, two.result.message.as_str()), (GoalStatus::Succeeded, "second"));
    assert_eq!(first_asked.by_ref().collect::<Vec<_>>().await, [feedback(step::WARMING, 0.1)]);
    assert_eq!(second_asked.by_ref().collect::<Vec<_>>().await, [feedback(step::WARMING, 0.2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn goals_are_rejected_by_word_or_by_being_dropped() {
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    for by_word in [true, false] {
        let refuse = async {
            let request = next(&mut pair.server).await;
            if by_word {
                request.reject();
            }
        };
        let (asked, ()) = tokio::join!(pair.client.send_goal(goal(), PATIENCE), refuse);
        let error = asked.err().unwrap();
        assert!(matches!(&error, Error::GoalRejected { name } if name == pair.client.name()), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_good_for_one_goal() {
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    let (served, asked) = pair.accepted().await;
    let client = pair.tool.create_client::<SendGoal::Service>("/robot_1/inference_node/deploy_model/_action/send_goal").unwrap();
    client.wait_for_service(PATIENCE).await.unwrap();
    let again = SendGoal::Request { goal_id: UUID { uuid: asked.goal_id().as_bytes().to_vec() }, goal: goal() };
    // The server's stream handles the request, and has nothing to show for it.
    let response = tokio::select! {
        response = client.call(&again, PATIENCE) => response.unwrap(),
        _ = next(&mut pair.server) => panic!("the same goal twice"),
    };
    assert!(!response.accepted);
    served.succeed(done("once")).unwrap();
    assert_eq!(asked.result(PATIENCE).await.unwrap().result, done("once"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_is_canceled_and_says_how_it_ended() {
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    let (served, asked) = pair.accepted().await;
    assert!(!served.is_canceling());
    let canceling = served.canceling();
    asked.cancel(PATIENCE).await.unwrap();
    tokio::time::timeout(PATIENCE, canceling).await.unwrap();
    assert!(served.is_canceling());
    assert!(!served.refuse_cancel(), "too late to refuse");
    let error = asked.cancel(PATIENCE).await.unwrap_err();
    assert!(matches!(error, Error::CancelRejected { .. }), "{error}");
    served.canceled(done("stopped in time")).unwrap();
    let outcome = asked.result(PATIENCE).await.unwrap();
    assert_eq!((outcome.status, outcome.result.message.as_str()), (GoalStatus::Canceled, "stopped in time"));
    let error = asked.cancel(PATIENCE).await.unwrap_err();
    assert!(matches!(&error, Error::CancelRejected { reason, .. } if reason.contains("ended")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_past_its_point_of_no_return_is_not_canceled() {
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    let (served, asked) = pair.accepted().await;
    assert!(served.refuse_cancel());
    let error = asked.cancel(PATIENCE).await.unwrap_err();
    assert!(matches!(&error, Error::CancelRejected { reason, .. } if reason.contains("rejects")), "{error}");
    assert!(!served.is_canceling());
    served.canceled(done("nobody asked")).unwrap();
    assert_eq!(asked.result(PATIENCE).await.unwrap().status, GoalStatus::Aborted, "only a client cancels");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_request_means_one_goal_all_up_to_a_time_or_all() {
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    let (first, first_asked) = pair.accepted().await;
    let between = pair.robot.now();
    let (second, _second_asked) = pair.accepted().await;
    let (third, _third_asked) = pair.accepted().await;
    let ids = |response: CancelGoal::Response| response.goals_canceling.into_iter().map(|info| info.goal_id.uuid).collect::<Vec<_>>();
    let id = |goal: &ServerGoal<Action>| goal.goal_id().as_bytes().to_vec();
    let any = || UUID { uuid: vec![0; 16] };

    let unknown = pair.cancel(UUID { uuid: vec![7; 16] }, Time::default()).await;
    assert_eq!((unknown.return_code, unknown.goals_canceling.len()), (code::ERROR_UNKNOWN_GOAL_ID, 0));
    let earlier = pair.cancel(any(), between).await;
    assert_eq!((earlier.return_code, ids(earlier)), (code::ERROR_NONE, vec![id(&first)]));
    first.canceled(done("")).unwrap();
    first_asked.result(PATIENCE).await.unwrap();
    let ended = pair.cancel(UUID { uuid: first_asked.goal_id().as_bytes().to_vec() }, Time::default()).await;
    assert_eq!(ended.return_code, code::ERROR_GOAL_TERMINATED);
    let all = pair.cancel(any(), Time::default()).await;
    assert_eq!((all.return_code, ids(all)), (code::ERROR_NONE, vec![id(&second), id(&third)]));
    assert!(second.is_canceling() && third.is_canceling());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_goal_is_aborted_with_an_empty_result() {
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    let (served, asked) = pair.accepted().await;
    drop(served);
    let outcome = asked.result(PATIENCE).await.unwrap();
    assert_eq!((outcome.status, outcome.result), (GoalStatus::Aborted, Done::default()));
}

/// The result for a client that asks before the goal ends: with this word, once the question is with the server.
async fn waited_for(served: ServerGoal<Action>, asked: &ClientGoal<Action>, word: &str) -> Done {
    let succeed = async {
        while served.waiting_clients() == 0 {
            tokio::task::yield_now().await;
        }
        served.succeed(done(word)).unwrap();
    };
    tokio::join!(asked.result(PATIENCE), succeed).0.unwrap().result
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_outlives_the_server_that_accepted_it() {
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    let (served, asked) = pair.accepted().await;
    drop(pair.server);
    assert!(pair.client.send_goal(goal(), PATIENCE).await.is_err(), "no further goals");
    assert_eq!(waited_for(served, &asked, "after all").await, done("after all"));
}

/// Asks for a result as a tool does that knows nothing but the id.
async fn late_result(pair: &Pair, uuid: Vec<u8>) -> GetResult::Response {
    let client = pair.tool.create_client::<GetResult::Service>("/robot_1/inference_node/deploy_model/_action/get_result").unwrap();
    client.wait_for_service(PATIENCE).await.unwrap();
    client.call(&GetResult::Request { goal_id: UUID { uuid } }, PATIENCE).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_can_be_asked_for_late_until_it_is_forgotten() {
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    let (served, asked) = pair.accepted().await;
    let id = asked.goal_id().as_bytes().to_vec();
    let error = asked.result(Duration::ZERO).await.unwrap_err();
    assert!(matches!(&error, Error::GoalTimeout { goal, .. } if *goal == asked.goal_id().to_string()), "{error}");
    served.succeed(done("kept")).unwrap();
    asked.result(PATIENCE).await.unwrap();
    let response = late_result(&pair, id).await;
    assert_eq!((GoalStatus::from_code(response.status), response.result), (GoalStatus::Succeeded, done("kept")));
    let unknown = late_result(&pair, vec![7; 16]).await;
    assert_eq!((GoalStatus::from_code(unknown.status), unknown.result), (GoalStatus::Unknown, Done::default()));

    pair.server = pair.server.keep_results(Duration::ZERO);
    let (served, asked) = pair.accepted().await;
    let id = asked.goal_id().as_bytes().to_vec();
    assert_eq!(waited_for(served, &asked, "not kept").await, done("not kept"), "whoever waited gets it");
    let forgotten = async {
        while late_result(&pair, id.clone()).await.status != GoalStatus::Unknown.code() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.expect("the result is still there");
}

/// The next statuses of all goals, in the order of their acceptance.
async fn statuses(messages: &mut Subscription<GoalStatusArray>) -> Vec<GoalStatus> {
    next(messages).await.status_list.iter().map(|goal| GoalStatus::from_code(goal.status)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_are_told_as_they_change_and_latched() {
    use GoalStatus::{Accepted, Canceled, Canceling, Executing, Succeeded};
    let world = World::new();
    let mut pair = Pair::new(&world).await;
    const TOPIC: &str = "/robot_1/inference_node/deploy_model/_action/status";
    // A history of one shows the present status only; this one wants to see each.
    let latched = || QosProfile::latched(10);
    let mut told = pair.tool.subscribe::<GoalStatusArray>(TOPIC, latched(), Queue::all()).unwrap();
    let counted = |node: &Node| node.count_publishers(TOPIC).is_ok_and(|count| count > 0);
    assert!(pair.tool.wait_for_graph(PATIENCE, counted).await);
    let (first, first_asked) = pair.accepted().await;
    assert_eq!(statuses(&mut told).await, [Accepted]);
    assert_eq!(statuses(&mut told).await, [Executing]);
    first_asked.cancel(PATIENCE).await.unwrap();
    assert_eq!(statuses(&mut told).await, [Canceling]);
    first.canceled(done("")).unwrap();
    assert_eq!(statuses(&mut told).await, [Canceled]);
    let (second, _second_asked) = pair.accepted().await;
    assert_eq!(statuses(&mut told).await, [Canceled, Accepted]);
    assert_eq!(statuses(&mut told).await, [Canceled, Executing]);
    second.succeed(done("")).unwrap();
    assert_eq!(statuses(&mut told).await, [Canceled, Succeeded]);

    let mut late = pair.tool.subscribe::<GoalStatusArray>(TOPIC, latched(), Queue::all()).unwrap();
    assert_eq!(statuses(&mut late).await, [Canceled, Succeeded]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_absent_or_goes_is_named() {
    let world = World::new();
    let tool = Node::create(&world.program(""), "tool", "").unwrap();
    let client = tool.create_action_client::<Action>("deploy_model").unwrap();
    let error = client.wait_for_server(Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(&error, Error::ActionUnavailable { name, .. } if name == "/deploy_model"), "{error}");

    let program = world.program("");
    let robot = Node::create(&program, "robot", "").unwrap();
    let mut server = robot.create_action_server::<Action>("deploy_model").unwrap();
    client.wait_for_server(PATIENCE).await.unwrap();
    let accept = async { next(&mut server).await.accept().unwrap() };
    let (served, asked) = tokio::join!(accept, client.send_goal(goal(), PATIENCE));
    let mut asked = asked.unwrap();
    program.shutdown().unwrap();
    assert!(server.next().await.is_none(), "no requests any more");
    assert!(served.succeed(done("nobody hears it")).is_err());
    let error = asked.result(Duration::from_secs(5)).await.unwrap_err().to_string();
    assert!(error.contains("/deploy_model"), "{error}");
    tool.context().shutdown().unwrap();
    assert_eq!(asked.next().await, None, "feedback ends with the context");
}
