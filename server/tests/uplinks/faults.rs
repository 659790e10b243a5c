//! Robots with three uplinks over mTLS, whose networks fail at random, each door of each robot for itself. `EDGEFLOW_SEED` chooses
//! other faults.

use crate::{
    common::Robot,
    world::{Bridge, Way, World},
};
use edgeflow_sim::proxy::{Condition, Link, Proxy};
use edgeflow_uplink::{Fallback, Patience};
use edgeflow_wire::Class;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use std::{collections::BTreeSet, time::Duration};

const WAYS: [Way; 3] = [Way::Mqtts, Way::Zenoh, Way::Https];

struct Driven {
    robot: Robot,
    bridge: Bridge,
    links: [Link; 3],
    produced: [u64; 2],
    _proxies: Vec<Proxy>,
}

async fn drive(world: &World, index: usize) -> Driven {
    let robot = world.enrol(&format!("robot-{index}")).await;
    let proof = world.proof(&robot);
    let ms = Duration::from_millis;
    let patience = Patience { connect: ms(1_500), answer: ms(4_000), probe_first: ms(200), probe_cap: ms(1_000), good: ms(2_000) };
    let links = [0, 1, 2].map(|door| Link::seeded((index * 3 + door) as u64));
    let (mut proxies, mut uplinks) = (Vec::new(), Vec::new());
    for (way, link) in WAYS.into_iter().zip(&links) {
        let address = match way {
            Way::Mqtts => world.secure.mqtts,
            Way::Zenoh => world.zenoh.unwrap(),
            _ => world.secure.https,
        };
        let proxy = Proxy::start(address.to_string(), link).await.unwrap();
        uplinks.push(World::uplink_to(way, proxy.local_addr(), robot.id.name.as_str(), &proof));
        proxies.push(proxy);
    }
    // Each robot prefers another one.
    uplinks.rotate_left(index % 3);
    let bridge = Bridge::start(Box::new(Fallback::new(uplinks, patience)));
    Driven { robot, bridge, links, produced: [0; 2], _proxies: proxies }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_stored_once_and_in_order_whatever_the_networks_do() {
    let seed = std::env::var("EDGEFLOW_SEED").map_or(7, |seed| seed.parse().unwrap());
    let mut random = SmallRng::seed_from_u64(seed);
    let world = World::with_zenoh().await;
    let mut robots = Vec::new();
    for index in 0..4 {
        robots.push(drive(&world, index).await);
    }
    let mut used = BTreeSet::new();
    for round in 0..60 {
        let which = random.random_range(0..robots.len());
        let driven = &mut robots[which];
        let slow = Condition::Slow { delay: Duration::from_millis(40), jitter: Duration::from_millis(40), bytes_per_s: Some(20_000) };
        let condition =
            [Condition::Up, Condition::Up, Condition::Cut, Condition::HalfOpen, Condition::Refusing, slow][random.random_range(0..6)];
        driven.links[random.random_range(0..3)].set(condition);
        for driven in &mut robots {
            driven.bridge.produce(Class::Event, 10).await;
            driven.bridge.produce(Class::Critical, 2).await;
            driven.produced = [driven.produced[0] + 10, driven.produced[1] + 2];
            let state = driven.bridge.state.borrow();
            if state.connected {
                used.insert(state.uplink);
            }
        }
        if round == 30 {
            // Somebody else comes and goes: the router is opened anew under everybody.
            world.enrol("passer-by").await;
        }
        // The length of a fault is part of what is random here, not a wait for something.
        tokio::time::sleep(Duration::from_millis(random.random_range(50..500))).await;
    }
    for driven in &mut robots {
        driven.links.iter().for_each(Link::restore);
    }
    for driven in &robots {
        let (name, [events, critical]) = (driven.robot.id.name.as_str(), driven.produced);
        world.until_stored(name, Class::Event, events as usize).await;
        world.until_stored(name, Class::Critical, critical as usize).await;
        assert_eq!(world.seqs(name, Class::Event).await, (1..=events).collect::<Vec<_>>(), "{name}");
        assert_eq!(world.seqs(name, Class::Critical).await, (1..=critical).collect::<Vec<_>>(), "{name}");
        assert_eq!(world.account(name).await, (events + critical, 0, 0, 0), "{name}");
    }
    assert_eq!(used.into_iter().collect::<Vec<_>>(), ["http", "mqtt", "zenoh"], "not every uplink was used");
    drop(robots);
    world.stop().await;
}
