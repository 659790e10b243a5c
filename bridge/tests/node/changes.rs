//! Somebody changes the robot by hand, or wants nothing changed.

use crate::{common::Held, world::*};
use edgeflow_wire::{DesiredState, SlotStatus};
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread")]
async fn a_model_loaded_by_hand_stands_until_somebody_decides_restarts_of_the_bridge_included() {
    let (world, node, robot, [first, second]) = World::serving().await;

    node.load_by_hand("sha256:mine");
    let changed = |held: &Held| slot_now(held, "default").is_some_and(|slot| slot.local.is_some() && slot.digest == "sha256:mine");
    world.plane.until("the change is told", changed).await;
    let slot = slot_now(&world.plane.held.lock().unwrap(), "default").unwrap();
    let vector = slot.vector.unwrap();
    assert_eq!((vector.robot, vector.control.generation, slot.status), (1, 1, SlotStatus::Active));
    assert!(slot.local.unwrap().what.contains("mine version 1"));
    assert!(faults(&world.plane.held.lock().unwrap()).contains("edgeflow targets resolve"));

    // Something else is declared by somebody who does not know of that; and the bridge restarts.
    world.plane.declare(declared(2, &[("default", &second, 0, 2)]));
    world.plane.until("it is observed", |held| last_state(held).is_some_and(|state| state.observed.version.generation == 2)).await;
    robot.stop().await;
    let states = world.plane.held.lock().unwrap().kinds("state").len();
    let robot = world.bridge();
    world.plane.until("it says again what it is", |held| held.kinds("state").len() > states && changed(held)).await;
    assert_eq!(slot_now(&world.plane.held.lock().unwrap(), "default").unwrap().vector, Some(vector), "no new change");
    assert_eq!(world.loads(), std::slice::from_ref(&first.digest), "it was overwritten without a decision");

    // Somebody decides for what is declared.
    world.plane.declare(declared(3, &[("default", &second, 1, 3)]));
    world.plane.until("generation 3 is active", |held| has(held, 3, SlotStatus::Active)).await;
    let follows = |held: &Held| {
        slot_now(held, "default")
            .is_some_and(|slot| slot.local.is_none() && slot.vector.is_some_and(|vector| vector.control.generation == 3))
    };
    world.plane.until("it follows again", follows).await;
    assert_eq!(world.loads(), [first.digest, second.digest]);
    robot.stop().await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_robot_changes_nothing_until_it_is_let_go() {
    let (world, node, robot, [first, second]) = World::serving().await;
    let hold = edgeflow_wire::Hold { reason: "audit".into(), by: "administrator".into(), since_us: 5 };
    world.plane.declare(DesiredState { hold: Some(hold.clone()), ..declared(3, &[("default", &second, 0, 2)]) });
    let told =
        |held: &Held| last_state(held).is_some_and(|state| state.observed.version.generation == 3 && state.held.as_ref() == Some(&hold));
    world.plane.until("it says that it is held", told).await;
    let state = last_state(&world.plane.held.lock().unwrap()).unwrap();
    assert_eq!((state.slots["default"].digest.as_str(), state.vector.unwrap().control.generation), (first.digest.as_str(), 1));
    world.plane.declare(declared(4, &[("default", &second, 0, 2)]));
    world.plane.until("generation 4 is active", |held| has(held, 4, SlotStatus::Active)).await;
    assert!(steps(&world.plane.held.lock().unwrap(), 3).is_empty());
    assert_eq!(world.loads(), [first.digest, second.digest]);
    robot.stop().await;
    node.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_while_the_bridge_was_away_stands_also_when_nothing_is_declared_any_more() {
    let (world, node, robot, [first, _]) = World::serving().await;
    robot.stop().await;
    node.load_by_hand("sha256:mine");
    world.taken_up(DesiredState { slots: BTreeMap::new(), ..declared(2, &[("default", &first, 0, 2)]) });
    let robot = world.bridge();
    let changed = |held: &Held| slot_now(held, "default").is_some_and(|slot| slot.local.is_some() && slot.digest == "sha256:mine");
    world.plane.until("the change is told", changed).await;
    // This node has no lifecycle: it could not be taken back to how it began, and nobody tried.
    assert!(!faults(&world.plane.held.lock().unwrap()).contains("has no lifecycle"));
    world.plane.declare(DesiredState { slots: BTreeMap::new(), ..declared(3, &[("default", &first, 1, 3)]) });
    world.plane.until("it is settled", |held| faults(held).contains("has no lifecycle")).await;
    robot.stop().await;
    node.stop();
}
