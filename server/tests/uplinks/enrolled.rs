//! A robot as it really comes: it enrolled, and its parameters name three ways, all of them over mTLS.

use crate::world::{Bridge, World};
use edgeflow_bridge::{Allowed, Config, Secret, Secure};
use edgeflow_core::{Principal, TargetName};
use edgeflow_identity::{BootstrapToken, enrol};
use edgeflow_sim::proxy::{Link, Proxy};
use edgeflow_wire::Class;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn three_uplinks_in_turn_with_the_certificate_that_it_enrolled_for() {
    let world = World::with_zenoh().await;
    world.server.enrol("robot-1").await;
    let name = TargetName::new("robot-1").unwrap();
    let token = world.server.app.bootstrap_target(&Principal::administrator(), &name, None).await.unwrap();
    let token = BootstrapToken::parse(&token.token, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let identity = folder.path().join("identity");
    enrol(&format!("https://{}", world.secure.https), &token, &identity, false).await.unwrap();

    let links = [Link::new(), Link::new(), Link::new()];
    let mqtt = Proxy::start(world.secure.mqtts.to_string(), &links[0]).await.unwrap();
    let zenoh = Proxy::start(world.zenoh.unwrap().to_string(), &links[1]).await.unwrap();
    let http = Proxy::start(world.secure.https.to_string(), &links[2]).await.unwrap();
    let (mqtt, http, zenoh) = (mqtt.local_addr().to_string(), format!("https://{}", http.local_addr()), zenoh.local_addr().to_string());
    let config = Config {
        robot: "robot-1".into(),
        data_dir: folder.path().join("data"),
        uplinks: ["mqtt", "zenoh", "http"].map(str::to_owned).into(),
        secure: Some(Secure::open(&identity, &mqtt, &http).unwrap()),
        mqtt,
        http,
        zenoh,
        bandwidth_kbps: 0,
        token: Secret::new(""),
        allowed: Allowed::default(),
        live: Default::default(),
        capture_topics: Vec::new(),
        capture_memory_mb: 64,
        capture_budget_mb: 256,
        inference_node: "inference_node".into(),
        slots_file: Default::default(),
        battery_topic: String::new(),
        summary_period: Duration::from_secs(5),
        drift_period: Duration::from_secs(60),
        log: edgeflow_edge_log::Options::default(),
        local_socket: folder.path().join("socket"),
        local_http_port: None,
        survival: Default::default(),
    };
    config.check().unwrap();
    let mut bridge = Bridge::start(config.uplink().unwrap());
    for (produced, uplink) in (1..).zip(["mqtt", "zenoh", "http"]) {
        bridge.uses(uplink).await;
        bridge.produce(Class::Event, 200).await;
        world.until_stored("robot-1", Class::Event, produced * 200).await;
        links[produced - 1].cut().await;
    }
    links.iter().for_each(Link::restore);
    // With the timing that robots have: the second look at what is preferred comes after 10 to 20 s, a third after 20 to 40 s.
    bridge.uses("mqtt").await;
    bridge.produce(Class::Event, 200).await;
    world.until_stored("robot-1", Class::Event, 800).await;
    assert_eq!(world.account("robot-1").await, (800, 0, 0, 0));
    assert_eq!(world.seqs("robot-1", Class::Event).await, (1..=800).collect::<Vec<_>>());
    drop(bridge);
    world.stop().await;
}
