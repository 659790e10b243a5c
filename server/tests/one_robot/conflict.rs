//! An operator holds a robot, somebody changes it by hand while its link is cut, somebody else declares something meanwhile. Nothing is
//! overwritten; both sides are shown; whoever decides takes one side, the other, or of each what is right.

use crate::world::World;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// What is listed as changed by both sides, by slot.
async fn conflicts(world: &World) -> Vec<Value> {
    world.server.get("/targets/robot-1/conflicts").await["items"].as_array().unwrap().clone()
}

async fn resolve(world: &World, slot: &str, decision: Value) {
    let (status, view) = world.server.post(&format!("/targets/robot-1/conflicts/{slot}/resolve"), decision).await;
    assert_eq!((status, &view["conflicts"]), (StatusCode::OK, &json!(0)), "{view}");
}

fn generation(robot: &Value) -> u64 {
    robot["desired"]["generation"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_both_sides_changed_while_the_link_was_cut_waits_for_a_decision_and_either_side_can_be_taken() {
    let mut world = World::start().await;
    let followed = generation(&world.robot().await);
    let (status, held) = world.server.post("/targets/robot-1/hold", json!({ "reason": "audit in hall 3" })).await;
    assert_eq!((status, &held["held"]["reason"]), (StatusCode::OK, &json!("audit in hall 3")));
    world.until("heard by the robot", |robot| robot["observed"]["generation"] == held["desired"]["generation"]).await;
    let (_, here) = world.at_robot(Method::GET, "/hold", Value::Null).await;
    assert_eq!(here["control"]["reason"], "audit in hall 3", "whoever stands beside it can see that, too");
    let (status, refused) = world.try_deploy("label-reader", "2", "default").await;
    assert!(status == StatusCode::CONFLICT && refused["error"]["message"].as_str().unwrap().contains("audit in hall 3"), "{refused}");

    // The robot is away. Somebody there loads version 3; the bridge dies and comes back; at the desk it is released and version 2 declared.
    world.cut().await;
    world.load_by_hand(2).await;
    world.crash_bridge().await;
    let (status, released) = crate::common::answer(world.server.request(Method::DELETE, "/targets/robot-1/hold")).await;
    assert_eq!((status, &released["held"]), (StatusCode::OK, &Value::Null));
    world.deploy("label-reader", "2", "default").await;
    assert_eq!(world.robot().await["conflicts"], 0, "nobody can know yet");

    world.link.restore();
    let robot = world.until("a conflict", |robot| robot["conflicts"] == 1).await;
    let declared = generation(&robot);
    assert_eq!((&robot["slots"]["default"]["standing"], &robot["slots"]["default"]["status"]), (&json!("conflict"), &json!("active")));
    assert_eq!(robot["difference"][0]["what"], "slot:default");
    let listed = conflicts(&world).await;
    let [one] = &listed[..] else { panic!("{listed:?}") };
    let vector = |side: &str| (one[side]["changes"].as_u64().unwrap(), one[side]["generation"].as_u64().unwrap());
    assert_eq!((vector("robot"), vector("control")), ((1, followed), (0, declared)), "each side knows what the other does not");
    assert_eq!((&one["robot"]["digest"], &one["control"]["digest"]), (&json!(world.digests[2]), &json!(world.digests[1])));
    assert!(one["what"].as_str().unwrap().contains("label-reader version 3"), "{one}");
    assert_eq!(world.serving().await, 2, "nothing was overwritten");
    let (status, refused) = world.try_deploy("label-reader", "1", "default").await;
    assert!(
        status == StatusCode::CONFLICT && refused["error"]["message"].as_str().unwrap().contains("edgeflow targets resolve"),
        "{refused}"
    );

    // The control plane's side.
    resolve(&world, "default", json!({ "take": "control" })).await;
    let robot = world.until_serves(1).await;
    assert_eq!((&robot["slots"]["default"]["standing"], world.serving().await), (&json!("follows"), 1));
    assert!(conflicts(&world).await.is_empty());

    // The same again, and the robot's side.
    world.cut().await;
    world.load_by_hand(0).await;
    world.deploy("label-reader", "3", "default").await;
    world.link.restore();
    world.until("a conflict again", |robot| robot["conflicts"] == 1).await;
    assert_eq!(conflicts(&world).await[0]["robot"]["changes"], 2);
    resolve(&world, "default", json!({ "take": "robot" })).await;
    let decided = generation(&world.robot().await);
    world.until("what the robot has declared", |robot| robot["observed"]["generation"] == decided).await;
    let robot = world.until_serves(0).await;
    assert_eq!(
        (&robot["desired"]["slots"]["default"]["version"], &robot["slots"]["default"]["standing"]),
        (&json!("1"), &json!("follows"))
    );
    assert_eq!(world.serving().await, 0);
    assert_eq!(world.served(), [0, 2, 1, 0], "declared, by hand, decided, by hand: and nothing else ever served");
    let audit = world.server.get("/audit").await["items"].to_string();
    assert!(
        audit.contains("audit in hall 3") && audit.contains("settled") && audit.contains(&world.digests[2]),
        "who, and what both sides were"
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_slots_one_side_or_the_other_is_taken_in_one_decision() {
    let world = World::start().await;
    world.register_config("speed: 1\n").await;
    world.register_config("speed: 2\n").await;
    world.deploy("nav", "1", "nav-config").await;
    world.until("configured", |robot| robot["slots"]["nav-config"]["status"] == "active" && robot["difference"] == json!([])).await;
    assert_eq!(std::fs::read_to_string(world.nav_file()).unwrap(), "speed: 1\n");

    world.cut().await;
    world.load_by_hand(1).await;
    std::fs::write(world.nav_file(), "speed: 9\n").unwrap();
    world.deploy("label-reader", "3", "default").await;
    world.deploy("nav", "2", "nav-config").await;
    world.link.restore();
    world.until("two conflicts", |robot| robot["conflicts"] == 2).await;
    assert_eq!((world.serving().await, std::fs::read_to_string(world.nav_file()).unwrap().as_str()), (1, "speed: 9\n"));
    let listed = conflicts(&world).await;
    let nav = listed.iter().find(|one| one["slot"] == "nav-config").unwrap();
    assert_eq!((&nav["kind"], &nav["robot"]["changes"], &nav["control"]["changes"]), (&json!("config"), &json!(1), &json!(0)));

    // What the robot has is no version of anything until somebody registers it.
    let merge = json!({ "merge": { "default": "control", "nav-config": "robot" } });
    let (status, refused) = world.server.post("/targets/robot-1/conflicts/default/resolve", merge.clone()).await;
    assert!(status == StatusCode::CONFLICT && refused["error"]["message"].as_str().unwrap().contains("edgeflow model push"), "{refused}");
    assert_eq!(world.robot().await["conflicts"], 2, "nothing was decided by half");
    let edited = world.register_config("speed: 9\n").await;
    assert_eq!(edited["digest"], nav["robot"]["digest"], "the folder as it is");
    let before = generation(&world.robot().await);
    resolve(&world, "default", merge).await;
    assert_eq!(generation(&world.robot().await), before + 1, "one decision, one generation");
    let robot = world.until_serves(2).await;
    let slot = &robot["slots"]["nav-config"];
    assert_eq!(
        (&slot["digest"], &slot["standing"], &slot["status"]),
        (&edited["digest"], &json!("follows"), &json!("active")),
        "{robot:#}"
    );
    assert_eq!((world.serving().await, std::fs::read_to_string(world.nav_file()).unwrap().as_str()), (2, "speed: 9\n"));
    assert!(conflicts(&world).await.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_that_is_held_where_it_stands_takes_up_nothing_until_it_is_let_go_there() {
    let mut world = World::start().await;
    world.cut().await;
    let (status, said) = world.at_robot(Method::PUT, "/hold", json!({ "reason": "gripper is off" })).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{said}");
    world.deploy("label-reader", "2", "default").await;
    world.link.restore();
    let holds = |robot: &Value| robot["held"]["by"] == "robot" && robot["observed"]["generation"] == robot["desired"]["generation"];
    let robot = world.until("held and heard", holds).await;
    assert_eq!((&robot["held"]["reason"], robot["difference"][0]["what"].as_str()), (&json!("gripper is off"), Some("slot:default")));
    let (status, refused) = world.try_deploy("label-reader", "3", "default").await;
    assert!(status == StatusCode::CONFLICT && refused["error"]["message"].as_str().unwrap().contains("gripper is off"), "{refused}");
    let (status, refused) = crate::common::answer(world.server.request(Method::DELETE, "/targets/robot-1/hold")).await;
    assert!(status == StatusCode::CONFLICT && refused["error"]["message"].as_str().unwrap().contains("release it there"), "{refused}");

    world.crash_bridge().await;
    let (_, here) = world.at_robot(Method::GET, "/hold", Value::Null).await;
    assert_eq!(here["robot"]["reason"], "gripper is off");
    assert_eq!(world.serving().await, 0);
    assert_eq!(world.at_robot(Method::DELETE, "/hold", Value::Null).await.0, StatusCode::NO_CONTENT);
    let robot = world.until_serves(1).await;
    assert_eq!((&robot["held"], world.serving().await), (&Value::Null, 1));
    assert_eq!(world.served(), [0, 1]);
    world.stop().await;
}
