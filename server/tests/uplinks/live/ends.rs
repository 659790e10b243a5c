//! The ends of live sessions by themselves: what others who would like to look too get to see, and who is cut.

use super::{order, raw};
use crate::world::{Connection, PATIENCE, Proof, Way, World};
use edgeflow_core::{Principal, TargetName};
use edgeflow_uplink::live::{LiveConfig, LiveEnd, LiveHeard, Pem};
use edgeflow_wire::{LiveAbout, LiveKeys, LiveMark, WIRE_VERSION};
use std::{path::PathBuf, time::Duration};
use tokio::time::timeout;

/// The certificate of an order as a file.
fn file(world: &World, config: &LiveConfig, name: &str) -> PathBuf {
    let path = world.server.app.authority().files().ca.with_file_name(name);
    let (Pem::Text(key), Pem::Text(certificate)) = (&config.key, &config.certificate) else { panic!("not as text") };
    std::fs::write(&path, format!("{key}{certificate}")).unwrap();
    path
}

/// The robot's end of a session, without a bridge.
fn robots_door(world: &World, robot: &crate::common::Robot) -> LiveConfig {
    let proof = world.proof(robot);
    let pem = || Pem::File(proof.pem.clone());
    LiveConfig { address: world.zenoh.unwrap().to_string(), ca: Pem::File(proof.ca.clone()), certificate: pem(), key: pem() }
}

/// The robot's end, once the router that opens anew is there again.
async fn robots_end(config: &LiveConfig, keys: &LiveKeys) -> LiveEnd {
    let open = async {
        loop {
            if let Ok(end) = LiveEnd::robot(config, keys.clone()).await {
                return end;
            }
        }
    };
    timeout(PATIENCE, open).await.expect("the router does not open again")
}

async fn until(end: &mut LiveEnd, what: &str, found: impl Fn(&LiveHeard) -> bool) {
    let wait = async { while !found(&end.heard().await) {} };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_reads_or_writes_the_keys_of_a_session() {
    let world = World::with_zenoh().await;
    let (one, two) = (world.enrol("robot-1").await, world.enrol("robot-2").await);
    drop(world.connect(Way::Zenoh, &one).await);
    drop(world.connect(Way::Zenoh, &two).await);
    let (config, keys) = order(&world, "robot-2", 60.0).await;
    let (other_config, other_keys) = order(&world, "robot-1", 60.0).await;
    assert_ne!(keys.here().rsplit('/').nth(1), other_keys.here().rsplit('/').nth(1));
    let mut robot = LiveEnd::robot(&robots_door(&world, &two), keys.clone()).await.unwrap();
    let thieves = [raw(&world, &world.proof(&one).pem).await, raw(&world, &file(&world, &other_config, "thief.pem")).await];

    let mut overheard = Vec::new();
    for thief in &thieves {
        let all = [keys.any_up(), keys.up(0), keys.any_down(), keys.down(0), keys.about(), keys.here()];
        for key in all.into_iter().chain(["edgeflow/targets/robot-2/live/**".into(), "edgeflow/**".into(), "**".into()]) {
            overheard.push((key.clone(), thief.declare_subscriber(key.clone()).await.unwrap()));
            let seen = thief.liveliness().declare_subscriber(key.clone()).history(true).await.unwrap();
            overheard.push((key, seen));
        }
        // A token that is forged would have the robot send.
        std::mem::forget(thief.liveliness().declare_token(keys.here()).await.unwrap());
    }
    // Nobody looks, for all that the robot can see; and then somebody does.
    assert!(timeout(Duration::from_millis(500), robot.heard()).await.is_err(), "somebody looks");
    let mut operator = LiveEnd::operator(&config, keys.clone()).await.unwrap();
    until(&mut robot, "looked at", |heard| matches!(heard, LiveHeard::Operator(true))).await;
    let forged = LiveMark { epoch: 1, seq: 99 };
    for thief in &thieves {
        for key in [keys.up(0), keys.down(0)] {
            thief.put(key, "forged").attachment(forged.to_bytes().to_vec()).await.unwrap();
        }
        thief.put(keys.about(), "forged").await.unwrap();
    }
    // The thieves' own keys work, so what they sent before has passed the router when this has.
    let mut third = LiveEnd::robot(&robots_door(&world, &one), other_keys.clone()).await.unwrap();
    // It hears what comes from now on: once it sees somebody there, the router knows that it listens.
    let there = thieves[1].liveliness().declare_token(other_keys.here()).await.unwrap();
    until(&mut third, "looked at", |heard| matches!(heard, LiveHeard::Operator(true))).await;
    thieves[1].put(other_keys.down(0), "own").attachment(forged.to_bytes().to_vec()).await.unwrap();
    until(&mut third, "its own", |heard| matches!(heard, LiveHeard::Message { body, .. } if body == b"own")).await;
    drop(there);
    let about = LiveAbout { v: WIRE_VERSION, remaining_s: 1.0, max_kbps: 1, ended: None, topics: vec![] };
    robot.tell(&about).await;
    robot.send(0, LiveMark { epoch: 1, seq: 1 }, b"true".to_vec()).await;
    operator.send(0, LiveMark { epoch: 1, seq: 1 }, b"true".to_vec()).await;
    for end in [&mut operator, &mut robot] {
        let heard = loop {
            match timeout(PATIENCE, end.heard()).await.expect("nothing came") {
                LiveHeard::Message { body, .. } => break body,
                LiveHeard::Lost => panic!("lost"),
                _ => {}
            }
        };
        assert_eq!(heard, b"true", "the first message is the true one");
    }
    for (key, subscriber) in &overheard {
        while let Some(sample) = subscriber.try_recv().unwrap() {
            // A session hears itself.
            let own = *sample.payload().to_bytes() == b"forged"[..] || *sample.payload().to_bytes() == b"own"[..];
            let there = [keys.here(), other_keys.here()].iter().any(|here| here == sample.key_expr().as_str());
            let own = own || sample.payload().is_empty() && there;
            assert!(own, "{key} overheard {sample:?}");
        }
    }
    // An operator's certificate opens nothing but the router.
    let text = std::fs::read_to_string(file(&world, &config, "operator.pem")).unwrap();
    let proof = Proof { token: String::new(), ca: world.server.app.authority().files().ca, pem: file(&world, &config, "operator.pem") };
    assert!(text.contains("BEGIN CERTIFICATE"));
    for way in [Way::Mqtts, Way::Https] {
        let mut thief = Connection::start(&*world.uplink(way, "robot-2", &proof));
        assert!(!thief.comes_up(Duration::from_secs(2)).await, "{way:?}");
    }
    for thief in thieves {
        thief.close().await.unwrap();
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_robot_and_an_operator_who_is_cut_are_out() {
    let world = World::with_zenoh().await;
    let app = &world.server.app;
    let robot = world.enrol("robot-1").await;
    drop(world.connect(Way::Zenoh, &robot).await);
    let admin = Principal::administrator();
    let name = TargetName::new("robot-1").unwrap();
    let (config, keys) = order(&world, "robot-1", 600.0).await;
    let session = keys.here().rsplit('/').nth(1).unwrap().to_owned();
    let mut here = LiveEnd::robot(&robots_door(&world, &robot), keys.clone()).await.unwrap();
    let mut operator = LiveEnd::operator(&config, keys.clone()).await.unwrap();
    until(&mut here, "looked at", |heard| matches!(heard, LiveHeard::Operator(true))).await;

    app.end_live(&admin, &name, &session, true).await.unwrap();
    until(&mut operator, "cut", |heard| matches!(heard, LiveHeard::Lost)).await;
    operator.close().await;
    here.close().await;
    // The same certificate again: it connects, and the robot does not see it.
    let mut here = robots_end(&robots_door(&world, &robot), &keys).await;
    let operator = LiveEnd::operator(&config, keys.clone()).await.unwrap();
    let (again, again_keys) = order(&world, "robot-1", 600.0).await;
    let mut other = LiveEnd::robot(&robots_door(&world, &robot), again_keys.clone()).await.unwrap();
    let good = LiveEnd::operator(&again, again_keys.clone()).await.unwrap();
    until(&mut other, "another session", |heard| matches!(heard, LiveHeard::Operator(true))).await;
    assert!(timeout(Duration::from_millis(500), here.heard()).await.is_err(), "the one who was cut is seen");
    operator.close().await;

    app.revoke_target(&admin, &name).await.unwrap();
    until(&mut other, "revoked", |heard| matches!(heard, LiveHeard::Lost)).await;
    other.close().await;
    good.close().await;
    let open = async {
        loop {
            if let Ok(end) = LiveEnd::operator(&again, again_keys.clone()).await {
                return end;
            }
        }
    };
    let mut good = timeout(PATIENCE, open).await.expect("the router does not open again");
    if let Ok(robot) = LiveEnd::robot(&robots_door(&world, &robot), again_keys.clone()).await {
        robot.send(0, LiveMark { epoch: 1, seq: 1 }, b"x".to_vec()).await;
        assert!(timeout(Duration::from_secs(1), good.heard()).await.is_err(), "a revoked robot is heard");
    }
    world.stop().await;
}
