//! Models come, fail, go back and leave.

use crate::{common::Held, world::*};
use edgeflow_bundle::Digest;
use edgeflow_ros::{
    Node, QosProfile,
    edgeflow_msgs::msg::{DeploymentStatus, MissionEvent, ModelInfo},
};
use edgeflow_wire::{DesiredState, SlotKind, SlotSpec, SlotStatus};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_taken_up_and_survives_restarts_of_node_and_bridge() {
    let (world, node, robot, [spec, _]) = World::serving().await;
    {
        let held = world.plane.held.lock().unwrap();
        use SlotStatus::{Active, Downloading, Verifying, Warming};
        let told: Vec<SlotStatus> = steps(&held, 1).iter().map(|step| step.0).collect();
        assert_eq!(told, [Downloading, Verifying, Warming, Active]);
        assert_eq!(steps(&held, 1)[3].1, spec.digest);
    }
    world.plane.until("the state attests it", |held| running_in_state(held) == Some((1, spec.digest.clone()))).await;

    // The inference node dies: it is missed, and when it is back it gets its model again.
    node.stop();
    world.plane.until("its end is told", |held| faults(held).contains("inference node has stopped")).await;
    let node = world.inference_node();
    world.plane.until("it was loaded again", |held| steps(held, 1).iter().filter(|step| step.0 == SlotStatus::Active).count() == 2).await;
    assert_eq!(world.loads(), [spec.digest.clone(), spec.digest.clone()]);

    // The bridge restarts: it knows what shall be, asks what is, and touches nothing.
    robot.stop().await;
    let robot = world.bridge();
    world.plane.until("it is attested again", |held| steps(held, 1).iter().filter(|step| step.0 == SlotStatus::Active).count() == 3).await;
    assert_eq!(world.loads().len(), 2, "a bundle that runs was loaded again");
    robot.stop().await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_does_not_match_its_digest_fails_and_nothing_is_loaded() {
    let (world, node, robot, [good, bad]) = World::serving().await;
    world.artifacts.lock().unwrap().insert(Digest::of(b"model two").hex(), b"model 2wo".to_vec());
    world.plane.declare(desired("robot-1", 2, &bad));
    world.plane.until("generation 2 failed", |held| has(held, 2, SlotStatus::Failed)).await;
    let (_, running, reason) = steps(&world.plane.held.lock().unwrap(), 2).pop().unwrap();
    assert!(reason.contains("model.onnx does not match"), "{reason}");
    assert_eq!(running, good.digest, "what ran before does not run any more");
    assert_eq!(world.loads(), std::slice::from_ref(&good.digest));

    // The node restarts meanwhile: what cannot run stays failed, and what ran before serves again.
    node.stop();
    world.plane.until("its end is told", |held| faults(held).contains("inference node has stopped")).await;
    let node = world.inference_node();
    world.plane.until("version 1 serves again", |held| running_in_state(held) == Some((2, good.digest.clone()))).await;
    robot.stop().await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_that_the_node_refuses_fails_with_the_nodes_words() {
    let world = World::new().await;
    let node = InferenceNode::start(world.router, &world.loads, Some("model.onnx is cut short at byte 9"));
    let robot = world.bridge();
    world.register(b"model one");
    world.plane.declare(desired("robot-1", 1, &spec("1", b"model one")));
    world.plane.until("generation 1 failed", |held| has(held, 1, SlotStatus::Failed)).await;
    let (_, running, reason) = steps(&world.plane.held.lock().unwrap(), 1).pop().unwrap();
    assert_eq!((running.as_str(), reason.as_str()), ("", "model.onnx is cut short at byte 9"));
    assert_eq!(world.loads().len(), 1);
    robot.stop().await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_desired_state_supersedes_a_download_and_lower_or_foreign_ones_are_refused() {
    let world = World::new().await;
    let node = world.inference_node();
    let robot = world.bridge();
    // Version 1 never arrives: its artifact is not there yet.
    world.plane.declare(desired("robot-1", 3, &spec("1", b"model one")));
    world.plane.until("generation 3 is downloading", |held| has(held, 3, SlotStatus::Downloading)).await;
    world.register(b"model two");
    let second = spec("2", b"model two");
    world.plane.declare(desired("robot-1", 4, &second));
    world.plane.until("generation 4 is active", |held| has(held, 4, SlotStatus::Active)).await;

    world.plane.declare(desired("robot-2", 5, &spec("1", b"model one")));
    world.plane.until("the foreign one is refused", |held| faults(held).contains("robot-2")).await;
    world.plane.declare(desired("robot-1", 2, &spec("1", b"model one")));
    world.plane.until("the lower one is refused", |held| faults(held).contains("1/2 came after 1/4")).await;
    {
        let held = world.plane.held.lock().unwrap();
        assert!(steps(&held, 5).is_empty() && steps(&held, 2).is_empty() && !has(&held, 3, SlotStatus::Active));
    }
    assert_eq!(world.loads(), [second.digest]);
    robot.stop().await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_bundle_is_on_its_way_everything_else_goes_on() {
    let (mut world, node, robot, [first, second]) = World::serving().await;
    // Slots of which one is never filled, since its bundle is not there, also come before the model's.
    robot.stop().await;
    let applied = world.dir.path().join("applied");
    let setup =
        |name: &str| serde_json::json!({ "kind": "map", "apply": ["/bin/sh", "-c", format!("echo {name} >> {}", applied.display())] });
    world.declare_slots(serde_json::json!({ "arena": setup("arena"), "basement": setup("basement") }));
    let robot = world.bridge();
    let map = |name: &str| bundle(SlotKind::Map, name, "1", ("map.pgm", name.as_bytes()));
    let (arena, basement, third) = (map("arena"), map("basement"), spec("3", b"model three"));
    world.register(b"basement");
    let slots: [(&str, &SlotSpec, u64, u64); 3] = [("arena", &arena, 0, 2), ("basement", &basement, 0, 2), ("default", &third, 0, 2)];
    world.plane.declare(declared(2, &slots));
    let is = |held: &Held, slot: &str, status: SlotStatus| slot_now(held, slot).is_some_and(|slot| slot.status == status);
    world.plane.until("the bundle that is there is applied", |held| is(held, "basement", SlotStatus::Active)).await;
    assert_eq!(std::fs::read_to_string(&applied).unwrap(), "basement\n");
    assert!(["arena", "default"].iter().all(|slot| is(&world.plane.held.lock().unwrap(), slot, SlotStatus::Downloading)));

    // The node restarts: what served before serves until its successor is there.
    node.stop();
    world.plane.until("its end is told", |held| faults(held).contains("inference node has stopped")).await;
    let node = world.inference_node();
    world.until_loaded(2).await;
    world.plane.until("it is attested", |held| running_in_state(held) == Some((2, first.digest.clone()))).await;

    // Somebody holds the robot, which says so; what was followed before still comes.
    let hold = edgeflow_wire::Hold { reason: "audit".into(), by: "administrator".into(), since_us: 5 };
    let newer = [("arena", &arena, 0, 2), ("basement", &basement, 0, 2), ("default", &second, 0, 3)];
    world.plane.declare(DesiredState { hold: Some(hold), ..declared(3, &newer) });
    world.plane.until("the hold is told", |held| last_state(held).is_some_and(|state| state.held.is_some())).await;
    world.register(b"model three");
    world.plane.until("what was followed is active", |held| running_in_state(held) == Some((3, third.digest.clone()))).await;
    world.plane.declare(declared(4, &newer));
    world.plane.until("what was declared meanwhile is active", |held| running_in_state(held) == Some((4, second.digest.clone()))).await;
    assert_eq!(world.loads(), [&first, &first, &third, &second].map(|spec| spec.digest.clone()));
    assert!(is(&world.plane.held.lock().unwrap(), "arena", SlotStatus::Downloading));
    robot.stop().await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_on_the_robot_is_told_and_stands_until_the_next_desired_state() {
    let (world, node, robot, [first, second]) = World::serving().await;
    world.plane.declare(desired("robot-1", 2, &second));
    world.plane.until("it is active", |held| has(held, 2, SlotStatus::Active)).await;
    node.roll_back(&first);
    world.plane.until("the rollback is told", |held| has(held, 2, SlotStatus::RolledBack)).await;
    world.plane.until("the state attests it", |held| running_in_state(held) == Some((2, first.digest.clone()))).await;
    {
        let held = world.plane.held.lock().unwrap();
        let (_, running, reason) = steps(&held, 2).pop().unwrap();
        assert_eq!((running, reason.as_str()), (first.digest.clone(), "rolled back by hand"));
    }
    // The node restarts: what it was rolled back to serves again, not what was taken out.
    node.stop();
    world.plane.until("its end is told", |held| faults(held).contains("inference node has stopped")).await;
    let node = world.inference_node();
    world.until_loaded(3).await;
    assert_eq!(world.loads(), [&first, &second, &first].map(|spec| spec.digest.clone()));

    // The bridge restarts: it knows of the rollback, and says so.
    robot.stop().await;
    let robot = world.bridge();
    let hellos = |held: &Held| held.kinds("link").len() >= 2;
    world.plane.until("the bridge is back", hellos).await;
    world.plane.until("the state says what it is", |held| last_status(held) == Some(SlotStatus::RolledBack)).await;

    // Another telemetry policy is no word about the model.
    let policy = edgeflow_wire::VersionedPolicy { version: 1, document: serde_json::json!({}) };
    world.plane.declare(DesiredState { policy: Some(policy.clone()), ..desired("robot-1", 3, &second) });
    world.plane.until("the policy is taken up", |held| !held.kinds("policy_status").is_empty()).await;
    world.plane.until("generation 3 is observed", |held| running_in_state(held) == Some((3, first.digest.clone()))).await;
    assert_eq!(last_status(&world.plane.held.lock().unwrap()), Some(SlotStatus::RolledBack));
    assert_eq!(world.loads().len(), 3);

    // A new generation is a new word, even if it asks for the same.
    world.plane.declare(DesiredState { policy: Some(policy), ..desired("robot-1", 4, &second) });
    world.plane.until("generation 4 is active", |held| has(held, 4, SlotStatus::Active)).await;
    assert_eq!(world.loads(), [&first, &second, &first, &second].map(|spec| spec.digest.clone()));
    robot.stop().await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_declared_no_more_leaves_with_the_nodes_lifecycle_and_activity_is_told() {
    use edgeflow_ros::{
        lifecycle::{HookError, Lifecycle, Managed, Transition},
        sensor_msgs::msg::BatteryState,
    };
    struct Forgets(Arc<Mutex<ModelInfo>>);
    impl Managed for Forgets {
        async fn on_cleanup(&mut self) -> Result<(), HookError> {
            *self.0.lock().unwrap() = ModelInfo::default();
            Ok(())
        }
    }
    let world = World::new().await;
    let node = world.inference_node();
    let managed = Node::create(&node.context, "inference_node", NAMESPACE).unwrap();
    let lifecycle = Lifecycle::serve(&managed, Forgets(Arc::clone(&node.running))).unwrap();
    for transition in [Transition::Configure, Transition::Activate] {
        lifecycle.trigger(transition).await.unwrap();
    }
    let robot = world.bridge();
    let first = spec("1", b"model one");
    world.register(b"model one");
    world.plane.declare(declared(1, &[("default", &first, 0, 1)]));
    world.plane.until("it is active", |held| has(held, 1, SlotStatus::Active)).await;
    let lifecycle_told = |held: &Held| {
        last_state(held).is_some_and(|state| state.activity.lifecycle.get("/robot_1/inference_node").is_some_and(|label| label == "active"))
    };
    world.plane.until("the lifecycle is told", lifecycle_told).await;

    let simulated = Node::create(&robot.context, "sim_robot", NAMESPACE).unwrap();
    let missions = simulated.create_publisher::<MissionEvent>("mission", QosProfile::default().keep_last(10).reliable()).unwrap();
    let batteries = simulated.create_publisher::<BatteryState>("battery_state", QosProfile::default().keep_last(1).reliable()).unwrap();
    assert!(missions.wait_for_subscribers(1, PATIENCE).await && batteries.wait_for_subscribers(1, PATIENCE).await);
    missions.publish(&MissionEvent { sequence: 1, kind: 0, ..MissionEvent::default() }).unwrap();
    batteries.publish(&BatteryState { power_supply_status: 1, ..BatteryState::default() }).unwrap();
    let busy =
        |held: &Held| last_state(held).is_some_and(|state| (state.activity.mission, state.activity.charging) == (Some(true), Some(true)));
    world.plane.until("mission and charging are told", busy).await;
    missions.publish(&MissionEvent { sequence: 2, kind: 2, ..MissionEvent::default() }).unwrap();
    world
        .plane
        .until("the mission's end is told", |held| last_state(held).is_some_and(|state| state.activity.mission == Some(false)))
        .await;

    let gone = declared(2, &[("default", &first, 0, 2)]);
    world.plane.declare(DesiredState { slots: BTreeMap::new(), ..gone });
    let empty =
        |held: &Held| slot_now(held, "default").is_some_and(|slot| slot.digest.is_empty() && slot.vector.unwrap().control.generation == 2);
    world.plane.until("the model is gone", empty).await;
    assert!(lifecycle.is_active(), "the node takes frames again");
    // What is gone does not come back.
    node.status.publish(&DeploymentStatus::default()).unwrap();
    world.plane.declare(declared(3, &[("default", &first, 0, 3)]));
    world.plane.until("it is declared again", |held| has(held, 3, SlotStatus::Active)).await;
    assert_eq!(world.loads().len(), 2);
    drop((simulated, lifecycle, managed));
    robot.stop().await;
    node.stop();
}
