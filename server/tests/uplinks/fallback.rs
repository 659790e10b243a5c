//! A network that lets MQTT through, then does not, then does again, in the middle of a backlog.

use crate::world::{Bridge, Way, World};
use edgeflow_sim::proxy::{Condition, Link, Proxy};
use edgeflow_uplink::{Fallback, Patience};
use edgeflow_wire::Class;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn when_mqtt_goes_dead_in_the_middle_of_a_backlog_the_robot_goes_on_by_http_and_returns() {
    let world = World::start().await;
    let robot = world.enrol("robot-1").await;
    let (mqtt_link, http_link) = (Link::new(), Link::new());
    let mqtt = Proxy::start(world.mqtt.to_string(), &mqtt_link).await.unwrap();
    let http = Proxy::start(world.http().to_string(), &http_link).await.unwrap();
    let ms = Duration::from_millis;
    let patience = Patience { connect: ms(500), answer: ms(3_000), probe_first: ms(100), probe_cap: ms(400), good: ms(2_000) };
    let uplinks = vec![
        World::uplink_to(Way::Mqtt, mqtt.local_addr(), "robot-1", &world.proof(&robot)),
        World::uplink_to(Way::Http, http.local_addr(), "robot-1", &world.proof(&robot)),
    ];
    let mut bridge = Bridge::start(Box::new(Fallback::new(uplinks, patience)));
    bridge.uses("mqtt").await;

    let (mut produced, mut used) = (0, Vec::new());
    for round in 0..3 {
        // Cut while a backlog is on its way.
        bridge.produce(Class::Event, 400).await;
        produced += 400;
        world.until_stored("robot-1", Class::Event, produced - 390).await;
        mqtt_link.cut().await;
        bridge.produce(Class::Event, 200).await;
        bridge.produce(Class::Critical, 50).await;
        produced += 200;
        bridge.uses("http").await;
        used.push("http");
        world.until_stored("robot-1", Class::Event, produced).await;
        assert_eq!(world.server.get("/targets/robot-1").await["online"], true, "round {round}");
        // Back, while another backlog is on its way.
        bridge.produce(Class::Event, 400).await;
        produced += 400;
        mqtt_link.restore();
        bridge.uses("mqtt").await;
        used.push("mqtt");
    }
    // Both gone, and only the second back.
    mqtt_link.cut().await;
    http_link.cut().await;
    bridge.produce(Class::Event, 100).await;
    produced += 100;
    http_link.restore();
    bridge.uses("http").await;
    world.until_stored("robot-1", Class::Event, produced).await;
    world.until_stored("robot-1", Class::Critical, 150).await;
    assert_eq!(world.seqs("robot-1", Class::Event).await, (1..=produced as u64).collect::<Vec<_>>());
    assert_eq!(world.seqs("robot-1", Class::Critical).await, (1..=150).collect::<Vec<_>>());
    assert_eq!(world.account("robot-1").await, (produced as u64 + 150, 0, 0, 0));
    drop(bridge);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_goes_down_a_list_of_three_and_back_up_again() {
    let world = World::with_zenoh().await;
    let robot = world.enrol("robot-1").await;
    let ms = Duration::from_millis;
    let patience = Patience { connect: ms(1_500), answer: ms(5_000), probe_first: ms(100), probe_cap: ms(400), good: ms(2_000) };
    let (mut links, mut proxies, mut uplinks) = (Vec::new(), Vec::new(), Vec::new());
    for (way, address) in [(Way::Mqtt, world.mqtt), (Way::Zenoh, world.zenoh.unwrap()), (Way::Http, world.http())] {
        let link = Link::new();
        let proxy = Proxy::start(address.to_string(), &link).await.unwrap();
        uplinks.push(World::uplink_to(way, proxy.local_addr(), "robot-1", &world.proof(&robot)));
        links.push(link);
        proxies.push(proxy);
    }
    let mut bridge = Bridge::start(Box::new(Fallback::new(uplinks, patience)));
    bridge.uses("mqtt").await;
    let mut produced = 0;
    // Which is cut, which comes back, and which is used then.
    for (cut, back, used) in [(Some(0), None, "zenoh"), (Some(1), None, "http"), (None, Some(1), "zenoh"), (None, Some(0), "mqtt")] {
        bridge.produce(Class::Event, 300).await;
        produced += 300;
        if let Some(at) = cut {
            let link: &Link = &links[at];
            link.cut().await;
        }
        if let Some(at) = back {
            links[at].restore();
        }
        bridge.produce(Class::Event, 300).await;
        produced += 300;
        bridge.uses(used).await;
        world.until_stored("robot-1", Class::Event, produced).await;
    }
    assert_eq!(world.seqs("robot-1", Class::Event).await, (1..=produced as u64).collect::<Vec<_>>());
    assert_eq!(world.account("robot-1").await, (produced as u64, 0, 0, 0));
    drop(bridge);
    world.stop().await;
}

/// Nothing says that a half-open connection is dead: packets go out and none comes back.
async fn half_open(first: Way) {
    let world = if first == Way::Zenoh { World::with_zenoh().await } else { World::start().await };
    let robot = world.enrol("robot-1").await;
    let (link, http_link) = (Link::new(), Link::new());
    let address = if first == Way::Zenoh { world.zenoh.unwrap() } else { world.mqtt };
    let proxy = Proxy::start(address.to_string(), &link).await.unwrap();
    let http = Proxy::start(world.http().to_string(), &http_link).await.unwrap();
    let ms = Duration::from_millis;
    // The wait for an answer is longer than the test's: it is the connection's signs of life that must tell.
    let patience = Patience { connect: ms(2_000), answer: ms(600_000), probe_first: ms(100), probe_cap: ms(400), good: ms(2_000) };
    let uplinks = vec![
        World::uplink_to(first, proxy.local_addr(), "robot-1", &world.proof(&robot)),
        World::uplink_to(Way::Http, http.local_addr(), "robot-1", &world.proof(&robot)),
    ];
    let mut bridge = Bridge::start(Box::new(Fallback::new(uplinks, patience)));
    bridge.uses(first.name()).await;
    bridge.produce(Class::Event, 400).await;
    link.set(Condition::HalfOpen);
    bridge.produce(Class::Event, 400).await;
    bridge.uses("http").await;
    world.until_stored("robot-1", Class::Event, 800).await;
    // And the way back: what was held up may still arrive, long after what was sent by the other way.
    link.restore();
    bridge.uses(first.name()).await;
    bridge.produce(Class::Event, 100).await;
    world.until_stored("robot-1", Class::Event, 900).await;
    assert_eq!(world.seqs("robot-1", Class::Event).await, (1..=900).collect::<Vec<_>>());
    assert_eq!(world.account("robot-1").await, (900, 0, 0, 0));
    drop(bridge);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_of_mqtt_is_noticed() {
    half_open(Way::Mqtt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_open_connection_of_zenoh_is_noticed() {
    half_open(Way::Zenoh).await;
}
