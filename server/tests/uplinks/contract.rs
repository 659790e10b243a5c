//! What every uplink has to keep.

use crate::{
    common::{Robot, answer, evaluation},
    world::{Bridge, CUT, Connection, PATIENCE, Way, World},
};
use edgeflow_wire::{
    Ack, AckOutcome, Class, ClassPosition, CommandOutcome, CommandStatusBody, EntryBody, FaultBody, Hello, LogAck, MAX_DOCUMENT_BYTES,
    Upstream, WIRE_VERSION,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::time::Duration;

fn hello(robot: &Robot, event_end: u64) -> Upstream {
    let end = |class| if class == Class::Event { event_end } else { 1 };
    let classes = Class::ALL.map(|class| ClassPosition { class, first_seq: 1, next_seq: end(class) });
    let epoch = robot.epoch.clone();
    Upstream::Hello(Hello { v: WIRE_VERSION, epoch, software: "test".into(), classes: classes.into(), t_us: 1, boot_us: 1 })
}

fn bodies(count: usize) -> Vec<EntryBody> {
    (0..count).map(|n| evaluation("sha256:aa", n as f64)).collect()
}

fn event(ack: &LogAck) -> u64 {
    ack.next.iter().find(|Ack { class, .. }| *class == Class::Event).expect("no word about events").next_seq
}

/// Says something and is told that this is the next seq. A broker may first bring answers to what the connection before this one said.
async fn told(way: Way, connection: &mut Connection, upstream: Upstream, next: u64) {
    let mut heard = event(&connection.say(upstream).await);
    while way == Way::Broker && heard < next {
        heard = event(&connection.answer().await);
    }
    assert_eq!(heard, next);
}

/// Out of order, doubled, overlapping.
pub(crate) async fn batches(way: Way) {
    let world = World::of(way).await;
    let mut robot = world.enrol("robot-1").await;
    let mut connection = world.connect(way, &robot).await;
    let ack = connection.say(hello(&robot, 1)).await;
    assert_eq!((ack.next.len(), event(&ack), &ack.outcome), (4, 1, &AckOutcome::Accepted));

    let first = robot.append(Class::Event, bodies(3));
    let second = robot.append(Class::Event, bodies(3));
    let third = robot.append(Class::Event, bodies(3));
    let ack = connection.say(Upstream::Batch(second.clone())).await;
    assert_eq!((&ack.outcome, event(&ack)), (&AckOutcome::OutOfOrder, 1));
    assert_eq!(event(&connection.say(Upstream::Batch(first.clone())).await), 4);
    assert_eq!(event(&connection.say(Upstream::Batch(first.clone())).await), 4);
    let ack = connection.say(Upstream::Batch(third.clone())).await;
    assert_eq!((&ack.outcome, event(&ack)), (&AckOutcome::OutOfOrder, 4));
    let mut overlap = first;
    overlap.entries.extend(second.entries);
    assert_eq!(event(&connection.say(Upstream::Batch(overlap)).await), 7);
    assert_eq!(event(&connection.say(Upstream::Batch(third)).await), 10);
    assert_eq!(world.account("robot-1").await, (9, 0, 0, 0));
    assert_eq!(world.seqs("robot-1", Class::Event).await, (1..=9).collect::<Vec<_>>());
    assert_eq!(world.server.get("/targets/robot-1").await["online"], true);
    drop(connection);
    world.stop().await;
}

pub(crate) async fn epochs(way: Way) {
    let world = World::of(way).await;
    let mut robot = world.enrol("robot-1").await;
    let mut connection = world.connect(way, &robot).await;
    connection.say(hello(&robot, 1)).await;
    let batch = robot.append(Class::Event, bodies(3));
    assert_eq!(event(&connection.say(Upstream::Batch(batch.clone())).await), 4);
    // The same numbers with another content.
    let mut cloned = batch;
    cloned.entries[2].content = evaluation("sha256:bb", 0.5).into();
    let ack = connection.say(Upstream::Batch(cloned)).await;
    assert!(matches!(ack.outcome, AckOutcome::EpochRefused { .. }), "{ack:?}");
    // Fewer entries than are held.
    let ack = connection.say(hello(&robot, 2)).await;
    assert!(matches!(&ack.outcome, AckOutcome::EpochRefused { reason } if reason.contains("event")), "{ack:?}");
    robot.epoch = "epoch-2".into();
    assert_eq!(event(&connection.say(hello(&robot, 1)).await), 1);
    assert_eq!(world.account("robot-1").await.0, 3);
    drop(connection);
    world.stop().await;
}

pub(crate) async fn reconnect(way: Way) {
    let world = World::of(way).await;
    let mut robot = world.enrol("robot-1").await;
    let mut connection = world.connect(way, &robot).await;
    connection.say(hello(&robot, 1)).await;
    let first = robot.append(Class::Event, bodies(5));
    connection.say(Upstream::Batch(first)).await;
    // This one may or may not arrive: nobody waits for the answer.
    let second = robot.append(Class::Event, bodies(5));
    connection.put(edgeflow_wire::encode(&Upstream::Batch(second.clone())).unwrap());
    drop(connection);
    let mut connection = world.connect(way, &robot).await;
    let next = event(&connection.say(hello(&robot, 11)).await);
    assert!(next == 6 || next == 11, "{next}");
    told(way, &mut connection, Upstream::Batch(second), 11).await;
    // Again, at once and without a goodbye that anybody waits for.
    drop(connection);
    let mut connection = world.connect(way, &robot).await;
    told(way, &mut connection, hello(&robot, 11), 11).await;
    let third = robot.append(Class::Event, bodies(1));
    told(way, &mut connection, Upstream::Batch(third), 12).await;
    assert_eq!(world.account("robot-1").await, (11, 0, 0, 0));
    assert_eq!(world.server.get("/targets/robot-1").await["online"], true);
    drop(connection);
    world.stop().await;
}

pub(crate) async fn desired(way: Way) {
    let world = World::of(way).await;
    world.register().await;
    let robot = world.enrol("robot-1").await;
    let mut connection = world.connect(way, &robot).await;
    for generation in 1..=3 {
        let (status, body) = world.server.deploy("1", &["robot-1"]).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        // The one before may be told twice, as a retained message is.
        let mut desired = connection.desired().await;
        while desired.version.generation == generation - 1 {
            desired = connection.desired().await;
        }
        assert_eq!((desired.target.as_str(), desired.version.generation), ("robot-1", generation));
        // The log goes on beside it.
        connection.say(hello(&robot, 1)).await;
    }
    drop(connection);
    let mut connection = world.connect(way, &robot).await;
    assert_eq!(connection.desired().await.version.generation, 3);
    // What changed while nobody was here is there at once, and only the newest.
    drop(connection);
    world.server.deploy("1", &["robot-1"]).await;
    world.server.deploy("1", &["robot-1"]).await;
    let mut connection = world.connect(way, &robot).await;
    let mut desired = connection.desired().await;
    // What a broker retains is what it was told until then: the newest comes soon after.
    while way == Way::Broker && desired.version.generation < 5 {
        desired = connection.desired().await;
    }
    assert_eq!(desired.version.generation, 5);
    drop(connection);
    world.stop().await;
}

pub(crate) async fn revoked(way: Way) {
    let world = World::of(way).await;
    let (mut robot, mut other) = (world.enrol("robot-1").await, world.enrol("robot-2").await);
    let mut connection = world.connect(way, &robot).await;
    let mut bystander = world.connect(way, &other).await;
    connection.say(hello(&robot, 1)).await;
    let first = robot.append(Class::Event, bodies(1));
    connection.say(Upstream::Batch(first)).await;
    let (status, body) = crate::common::answer(world.server.request(Method::DELETE, "/targets/robot-1")).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
    let cut = tokio::time::timeout(CUT, connection.down()).await;
    cut.unwrap_or_else(|_| panic!("a revoked robot was still connected after {CUT:?}"));
    let second = robot.append(Class::Event, bodies(1));
    assert!(!connection.put(edgeflow_wire::encode(&Upstream::Batch(second)).unwrap()));
    assert!(!connection.comes_up(Duration::from_secs(1)).await, "a revoked robot came back");
    let reason = connection.down().await;
    assert!(!reason.is_empty());
    // The others do not notice, or go on after a moment: zenoh reads its rules when its router opens.
    if way == Way::Zenoh {
        bystander.down().await;
        bystander.up().await;
    }
    bystander.say(hello(&other, 1)).await;
    let batch = other.append(Class::Event, bodies(1));
    assert_eq!(event(&bystander.say(Upstream::Batch(batch)).await), 2);
    drop((connection, bystander));
    world.stop().await;
}

pub(crate) async fn identity(way: Way) {
    let world = World::of(way).await;
    let (robot, other) = (world.enrol("robot-1").await, world.enrol("robot-2").await);
    for (name, proof) in [("robot-1", world.proof(&other)), ("robot-1", world.forged("robot-1")), ("ghost", world.proof(&robot))] {
        let mut connection = Connection::start(&*world.uplink(way, name, &proof));
        if way == Way::Broker && !proof.token.ends_with("nonsense") {
            // A broker goes by the certificate whatever the client says, so it comes in as who it is, and speaks to nobody.
            connection.up().await;
            assert!(connection.put(edgeflow_wire::encode(&hello(&robot, 1)).unwrap()));
            let answer = connection.hears(Duration::from_millis(300)).await;
            assert!(!answer, "{name} was answered with another's proof");
            continue;
        }
        let reason = connection.down().await;
        assert!(["token", "certificate"].iter().any(|what| reason.contains(what)) || way == Way::Zenoh, "{reason}");
        assert!(!connection.comes_up(Duration::from_millis(300)).await, "{name} came in with another's proof");
    }
    let mut connection = world.connect(way, &robot).await;
    connection.say(hello(&robot, 1)).await;
    assert_eq!(world.account("robot-2").await, (0, 0, 0, 0));
    drop(connection);
    world.stop().await;
}

pub(crate) async fn refused(way: Way) {
    let world = World::of(way).await;
    let mut robot = world.enrol("robot-1").await;
    let mut connection = world.connect(way, &robot).await;
    connection.say(hello(&robot, 1)).await;
    for document in [vec![b' '; MAX_DOCUMENT_BYTES + 1], b"{}".to_vec(), b"no document".to_vec()] {
        assert!(connection.put(document));
        let reason = connection.down().await;
        assert!(!reason.is_empty());
        connection.up().await;
    }
    // As large as it may be, of what does not compress.
    let message: String = (0..900_000).map(|_| char::from(rand::random_range(b'0'..=b'z'))).collect();
    let large = robot.append(Class::Event, vec![EntryBody::Fault(FaultBody { source: "test".into(), message })]);
    connection.say(hello(&robot, 2)).await;
    assert_eq!(event(&connection.say(Upstream::Batch(large)).await), 2);
    assert_eq!(world.account("robot-1").await, (1, 0, 0, 0));
    drop(connection);
    world.stop().await;
}

pub(crate) async fn backlog(way: Way) {
    let world = World::of(way).await;
    let robot = world.enrol("robot-1").await;
    let mut bridge = Bridge::start(world.uplink(way, "robot-1", &world.proof(&robot)));
    bridge.produce(Class::Event, 1_500).await;
    bridge.produce(Class::Critical, 300).await;
    bridge.uses(way.name()).await;
    world.until_stored("robot-1", Class::Event, 1_500).await;
    world.until_stored("robot-1", Class::Critical, 300).await;
    assert_eq!(world.seqs("robot-1", Class::Event).await, (1..=1_500).collect::<Vec<_>>());
    assert_eq!(world.seqs("robot-1", Class::Critical).await, (1..=300).collect::<Vec<_>>());
    assert_eq!(world.account("robot-1").await, (1_800, 0, 0, 0));
    drop(bridge);
    tokio::time::timeout(PATIENCE, world.stop()).await.expect("the control plane does not stop");
}

/// Commands come on every connection until the robot has said what came of them.
pub(crate) async fn commands(way: Way) {
    let world = World::of(way).await;
    let mut robot = world.enrol("robot-1").await;
    world.enrol("robot-2").await;
    let give = |target: &str, for_s: f64| {
        let request = world.server.request(Method::POST, &format!("/targets/{target}/commands"));
        let request = request.json(&json!({ "action": { "kind": "pause", "for_s": for_s } }));
        async move {
            let (status, command) = answer(request).await;
            assert_eq!(status, StatusCode::CREATED, "{command}");
            command["id"].as_str().unwrap().to_owned()
        }
    };
    let first = give("robot-1", 1.0).await;
    give("robot-2", 9.0).await;
    let mut connection = world.connect(way, &robot).await;
    connection.say(hello(&robot, 1)).await;
    assert_eq!(connection.command().await.id, first, "given before it was there");
    let second = give("robot-1", 2.0).await;
    assert_eq!(connection.command().await.id, second, "given while it is there");
    let word = CommandStatusBody { id: first, outcome: CommandOutcome::Done, message: String::new(), result: serde_json::Value::Null };
    connection.say(Upstream::Batch(robot.append(Class::Critical, vec![EntryBody::CommandStatus(word)]))).await;
    drop(connection);
    let mut connection = world.connect(way, &robot).await;
    let again = connection.command().await;
    assert_eq!((again.id, again.target.as_str()), (second, "robot-1"), "only what it has not said anything of");
    drop(connection);
    world.stop().await;
}
