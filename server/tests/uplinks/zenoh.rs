//! The zenoh door against those who want what is not theirs, with every verb that zenoh has.

use crate::{
    common::Robot,
    world::{PATIENCE, Proof, Way, World},
};
use edgeflow_core::{Principal, TargetName};
use edgeflow_wire::{Class, ClassPosition, Hello, Upstream, WIRE_VERSION, encode};
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;
use zenoh::{Config, Session, handlers::FifoChannelHandler, query::ConsolidationMode, sample::Sample};

/// A session that does what it likes.
async fn raw(world: &World, mode: &str, proof: Option<&Proof>) -> zenoh::Result<Session> {
    let mut tls = json!({ "root_ca_certificate": world.server.app.authority().files().ca });
    if let Some(proof) = proof {
        tls["enable_mtls"] = true.into();
        tls["connect_certificate"] = json!(proof.pem);
        tls["connect_private_key"] = json!(proof.pem);
    }
    let config = json!({
        "mode": mode,
        "connect": { "endpoints": [format!("tls/{}", world.zenoh.unwrap())], "timeout_ms": 0 },
        "listen": { "endpoints": [] },
        "scouting": { "multicast": { "enabled": false } },
        "transport": { "link": { "tls": tls }, "shared_memory": { "enabled": false } },
    });
    zenoh::open(Config::from_json5(&config.to_string())?).await
}

/// A session of a robot that the router lets in already.
async fn inside(world: &World, mode: &str, robot: &Robot) -> Session {
    drop(world.connect(Way::Zenoh, robot).await);
    let session = raw(world, mode, Some(&world.proof(robot))).await.unwrap();
    // A client is connected when it is open, others come to it.
    let connected = async {
        while session.info().routers_zid().await.next().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, connected).await.expect("never connected");
    session
}

fn key(robot: &str, leaf: &str) -> String {
    format!("edgeflow/targets/{robot}/{leaf}")
}

/// Whether a query gets a good reply within this time.
async fn is_answered_within(patience: Duration, session: &Session, key: &str, document: Vec<u8>) -> bool {
    // Told at once, not when everybody has said all: a thief that declares the key is asked, too, and says nothing.
    let replies = session.get(key).payload(document).timeout(patience).consolidation(ConsolidationMode::None).await.unwrap();
    matches!(replies.recv_async().await, Ok(reply) if reply.result().is_ok())
}

/// Whether a query gets a good reply, which it does in the end.
async fn is_answered(session: &Session, key: &str, document: Vec<u8>) -> bool {
    is_answered_within(PATIENCE, session, key, document).await
}

/// Whether a query gets no good reply for a while.
async fn is_not_answered(session: &Session, key: &str, document: Vec<u8>) -> bool {
    !is_answered_within(Duration::from_millis(500), session, key, document).await
}

fn hello() -> Vec<u8> {
    let classes = Class::ALL.map(|class| ClassPosition { class, first_seq: 1, next_seq: 1 });
    let hello = Hello { v: WIRE_VERSION, epoch: "e".into(), software: "t".into(), classes: classes.into(), t_us: 1, boot_us: 1 };
    encode(&Upstream::Hello(hello)).unwrap()
}

async fn generation(samples: &FifoChannelHandler<Sample>) -> String {
    let sample = timeout(PATIENCE, samples.recv_async()).await.expect("nothing came").unwrap();
    let envelope: edgeflow_wire::Envelope = edgeflow_wire::decode(&sample.payload().to_bytes()).unwrap();
    let state: edgeflow_wire::DesiredState = edgeflow_wire::decode(envelope.payload.as_bytes()).unwrap();
    format!("{} {}", state.target, state.version.generation)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_verb_reaches_another_robots_keys() {
    no_verb("client").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_verb_reaches_another_robots_keys_from_who_says_it_is_a_peer() {
    no_verb("peer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_verb_reaches_another_robots_keys_from_who_says_it_is_a_router() {
    no_verb("router").await;
}

async fn no_verb(mode: &str) {
    let world = World::with_zenoh().await;
    world.register().await;
    let (one, two, _three) = (world.enrol("robot-1").await, world.enrol("robot-2").await, world.enrol("robot-3").await);
    let (thief, victim) = (inside(&world, mode, &one).await, inside(&world, "client", &two).await);
    let foreign = |leaf: &str| [key("robot-2", leaf), key("*", leaf), "edgeflow/**".to_owned(), "**".to_owned()];

    // Its own work, and each of the fences below. A router asks only where it is told of somebody who answers, and it is not.
    let fence = async || {
        if mode == "router" {
            let here = thief.liveliness().declare_token(key("robot-1", "alive")).await.unwrap();
            world.until_online("robot-1", true).await;
            here.undeclare().await.unwrap();
            world.until_online("robot-1", false).await;
        } else {
            assert!(is_answered(&thief, &key("robot-1", "telemetry"), hello()).await);
        }
    };
    fence().await;
    assert!(is_answered(&victim, &key("robot-2", "telemetry"), hello()).await);
    let own = thief.declare_subscriber(key("robot-1", "deploy")).await.unwrap();
    let deploys = victim.declare_subscriber(key("robot-2", "deploy")).await.unwrap();
    let commands = victim.declare_subscriber(key("robot-2", "command")).await.unwrap();
    let alive = victim.liveliness().declare_token(key("robot-2", "alive")).await.unwrap();
    assert!(is_answered(&victim, &key("robot-2", "deploy"), Vec::new()).await);

    // query
    for leaf in ["telemetry", "deploy"] {
        for key in foreign(leaf) {
            assert!(is_not_answered(&thief, &key, hello()).await, "{key}");
        }
    }
    // subscribe, be asked, put, delete
    let mut overheard = Vec::new();
    let mut asked = Vec::new();
    for leaf in ["deploy", "command", "telemetry", "alive"] {
        for key in foreign(leaf) {
            overheard.push((key.clone(), thief.declare_subscriber(key.clone()).await.unwrap()));
            asked.push((key.clone(), thief.declare_queryable(key.clone()).complete(true).await.unwrap()));
        }
        for key in [key("robot-2", leaf), key("robot-2", &format!("{leaf}/more"))] {
            thief.put(key.clone(), "forged").await.unwrap();
            thief.delete(key).await.unwrap();
        }
    }
    // liveliness
    let _token = thief.liveliness().declare_token(key("robot-3", "alive")).await.unwrap();
    let mut seen = Vec::new();
    for key in foreign("alive") {
        let replies = thief.liveliness().get(key.clone()).timeout(Duration::from_millis(500)).await.unwrap();
        while let Ok(reply) = replies.recv_async().await {
            // A session knows its own tokens.
            let told = reply.into_result().map(|token| token.key_expr().to_string()).unwrap_or_default();
            assert_eq!(told, self::key("robot-3", "alive"), "{key}");
        }
        seen.push((key.clone(), thief.liveliness().declare_subscriber(key).history(true).await.unwrap()));
    }
    // All of that has passed the router once something that came after it has.
    fence().await;
    assert!(is_answered(&victim, &key("robot-2", "telemetry"), hello()).await);
    for target in ["robot-2", "robot-1"] {
        let (status, body) = world.server.deploy("1", &[target]).await;
        assert!(status.is_success(), "{body}");
    }
    assert_eq!(generation(&deploys).await, "robot-2 1", "the first that came is the control plane's");
    assert_eq!(generation(&own).await, "robot-1 1");
    assert!(commands.try_recv().unwrap().is_none());
    for (key, subscriber) in &overheard {
        // A session hears itself; nothing that it hears here came from elsewhere.
        while let Some(sample) = subscriber.try_recv().unwrap() {
            assert!(
                *sample.payload().to_bytes() == b"forged"[..]
                    || sample.payload().is_empty()
                    || sample.key_expr().as_str() == own.key_expr().as_str(),
                "{key} overheard {sample:?}"
            );
        }
    }
    for (key, queryable) in &asked {
        while let Some(query) = queryable.try_recv().unwrap() {
            assert!(query.key_expr().as_str().starts_with("edgeflow/targets/robot-1/"), "{key} was asked {query:?}");
        }
    }
    for (key, subscriber) in &seen {
        while let Some(token) = subscriber.try_recv().unwrap() {
            // It sees its own tokens, the forged one too, which went no further.
            let own = [self::key("robot-1", "alive"), self::key("robot-3", "alive")];
            assert!(own.iter().any(|own| own == token.key_expr().as_str()), "{key}: {token:?}");
        }
    }
    let online = async |name: &str| world.server.get(&format!("/targets/{name}")).await["online"].clone();
    assert_eq!((online("robot-2").await, online("robot-3").await), (true.into(), false.into()));
    assert_eq!(world.account("robot-2").await, (0, 0, 0, 0));
    drop(alive);
    thief.close().await.unwrap();
    victim.close().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_certificate_of_ours_does_not_connect() {
    let world = World::with_zenoh().await;
    let robot = world.enrol("robot-1").await;
    drop(world.connect(Way::Zenoh, &robot).await);
    for proof in [None, Some(world.forged("robot-1"))] {
        let session = timeout(PATIENCE, raw(&world, "client", proof.as_ref())).await.expect("never refused");
        if let Ok(session) = session {
            // TLS 1.3: the client learns of the refusal after its own handshake.
            assert!(is_not_answered(&session, &key("robot-1", "deploy"), Vec::new()).await);
            assert_eq!(session.info().routers_zid().await.count(), 0);
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_a_revoked_certificate_that_still_lives_stays_out() {
    let world = World::with_zenoh().await;
    let app = &world.server.app;
    let robot = world.enrol("robot-1").await;
    let names = async || app.robots_by_common_name().await.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names().await, ["robot-1"]);
    let stolen = world.proof(&robot);
    let copy = Proof { pem: stolen.pem.with_extension("stolen"), ..stolen };
    std::fs::copy(world.proof(&robot).pem, &copy.pem).unwrap();
    app.revoke_target(&Principal::administrator(), &TargetName::new("robot-1").unwrap()).await.unwrap();
    // The name is given again. What was stolen has the same name, and zenoh sees nothing else.
    let again = world.enrol("robot-1").await;
    world.enrol("robot-2").await;
    assert_eq!(names().await, ["robot-2"]);
    drop(world.connect(Way::Http, &again).await);
    let mut thief = crate::world::Connection::start(&*world.uplink(Way::Zenoh, "robot-1", &copy));
    assert!(!thief.comes_up(Duration::from_secs(3)).await);
    world.stop().await;
}
