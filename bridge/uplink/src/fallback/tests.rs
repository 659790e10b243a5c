//! Uplinks that come, go and fall silent, under a log that must arrive once and in order.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::{
    Bandwidth,
    testing::{Fake, Mood, PATIENCE, Plane, Robot, until},
};
use edgeflow_wire::Class;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::sync::watch;

fn hasty() -> Patience {
    let ms = Duration::from_millis;
    Patience { connect: ms(60), answer: ms(120), probe_first: ms(20), probe_cap: ms(100), good: ms(200) }
}

type Moods = [Arc<watch::Sender<Mood>>; 3];

fn three(plane: &watch::Sender<Plane>) -> (Box<dyn Uplink>, Moods) {
    let (a, mood_a) = Fake::uplink("mqtt", plane);
    let (b, mood_b) = Fake::uplink("zenoh", plane);
    let (c, mood_c) = Fake::uplink("http", plane);
    (Box::new(Fallback::new(vec![a, b, c], hasty())), [mood_a, mood_b, mood_c])
}

fn all_down(moods: &Moods) {
    for mood in moods {
        mood.send_replace(Mood::Down);
    }
}

#[tokio::test]
async fn it_goes_down_the_list_and_comes_back_to_the_preferred_one() {
    let plane = watch::Sender::new(Plane::default());
    let (uplink, moods) = three(&plane);
    assert_eq!(uplink.name(), "mqtt");
    let mut robot = Robot::start(uplink, 10, Bandwidth::unlimited());
    robot.append(Class::Event, 7);
    robot.uses("mqtt").await;
    until(&plane, |plane| plane.stored.len() == 7).await;

    moods[0].send_replace(Mood::Down);
    moods[1].send_replace(Mood::Down);
    let down = robot.state.wait_for(|state| !state.connected).await.unwrap().clone();
    assert!(down.reason.starts_with("mqtt: "), "{down:?}");
    robot.append(Class::Event, 7);
    robot.uses("http").await;
    until(&plane, |plane| plane.stored.len() == 14).await;

    moods[1].send_replace(Mood::Up);
    robot.uses("zenoh").await;
    moods[0].send_replace(Mood::Up);
    robot.uses("mqtt").await;
    robot.append(Class::Event, 7);
    until(&plane, |plane| plane.stored.len() == 21).await;
    let plane = plane.borrow();
    assert_eq!(plane.seqs(Class::Event), (1..=21).collect::<Vec<_>>());
    let by: Vec<_> = [0, 13, 20].map(|at| plane.stored[at].2).into();
    assert_eq!((by[0], by[1]), ("mqtt", "http"));
}

#[tokio::test]
async fn one_that_comes_up_and_answers_nothing_is_left() {
    let plane = watch::Sender::new(Plane::default());
    let (uplink, moods) = three(&plane);
    moods[0].send_replace(Mood::Mute);
    let mut robot = Robot::start(uplink, 10, Bandwidth::unlimited());
    robot.append(Class::Event, 3);
    robot.uses("zenoh").await;
    until(&plane, |plane| plane.stored.len() == 3).await;
    assert!(plane.borrow().stored.iter().all(|stored| stored.2 != "mqtt"));
    // It falls silent in the middle: what was not answered goes another way.
    moods[1].send_replace(Mood::Mute);
    robot.append(Class::Event, 30);
    until(&plane, |plane| plane.seqs(Class::Event) == (1..=33).collect::<Vec<_>>()).await;
    robot.uses("http").await;
}

#[tokio::test]
async fn with_nothing_up_it_keeps_trying_them_all() {
    let plane = watch::Sender::new(Plane::default());
    let (uplink, moods) = three(&plane);
    all_down(&moods);
    let mut robot = Robot::start(uplink, 10, Bandwidth::unlimited());
    for (at, name) in [(2, "http"), (1, "zenoh"), (0, "mqtt"), (2, "http")] {
        robot.append(Class::Critical, 5);
        all_down(&moods);
        moods[at].send_replace(Mood::Up);
        robot.uses(name).await;
    }
    until(&plane, |plane| plane.seqs(Class::Critical) == (1..=20).collect::<Vec<_>>()).await;
}

/// Whatever comes, goes and falls silent in the middle of whatever: everything is stored once and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_over_links_that_switch_at_random_arrives_once_and_in_order() {
    for seed in 0..8 {
        let mut random = SmallRng::seed_from_u64(seed);
        let plane = watch::Sender::new(Plane::default());
        let (uplink, moods) = three(&plane);
        let robot = Robot::start(uplink, 10, Bandwidth::unlimited());
        for _ in 0..40 {
            let class = Class::ALL[random.random_range(0..4)];
            robot.append(class, random.random_range(1..40));
            let mood = [Mood::Up, Mood::Down, Mood::Mute][random.random_range(0..3)];
            moods[random.random_range(0..3)].send_replace(mood);
            // Pauses are part of what is random here, not a wait for something.
            tokio::time::sleep(Duration::from_millis(random.random_range(0..30))).await;
        }
        moods[random.random_range(0..3)].send_replace(Mood::Up);
        let ends = *robot.ends.borrow();
        let all = |plane: &Plane| {
            Class::ALL
                .into_iter()
                .all(|class| plane.stored.iter().filter(|stored| stored.0 == class).count() as u64 >= ends[class as usize] - 1)
        };
        until(&plane, all).await;
        let held = plane.borrow();
        for class in Class::ALL {
            assert_eq!(held.seqs(class), (1..ends[class as usize]).collect::<Vec<_>>(), "seed {seed}, {class}");
        }
    }
}

#[tokio::test]
async fn under_a_cap_critical_overtakes_a_backlog_and_the_cap_holds() {
    let plane = watch::Sender::new(Plane::default());
    let (uplink, _mood) = Fake::uplink("mqtt", &plane);
    let begin = Instant::now();
    let robot = Robot::start(uplink, 400, Bandwidth::kbps(160)); // 20,000 bytes a second
    robot.append(Class::Detail, 120); // about 40,000 bytes, which compress to three quarters or so
    until(&plane, |plane| plane.seqs(Class::Detail).len() >= 60).await;
    let before = plane.borrow().seqs(Class::Detail).len();
    robot.append(Class::Critical, 1);
    until(&plane, |plane| plane.stored.len() == 121).await;
    let (held, took) = (plane.borrow(), begin.elapsed());
    let place = held.stored.iter().position(|stored| stored.0 == Class::Critical).unwrap();
    assert!(place < before + 15, "critical came {} entries later", place - before);
    assert!(took < PATIENCE);
    // A second's worth, a document, and what the time allows.
    let allowed = 20_000.0 * (1.0 + took.as_secs_f64()) + 4_000.0;
    assert!((held.bytes as f64) < allowed && held.bytes > 30_000, "{} bytes in {took:?}", held.bytes);
}
