//! Triggers on a real robot: conditions over what nodes publish, with the link away.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

mod common;

use common::{
    Held,
    robot::{PATIENCE, World, counted, faults, known, now_us},
};
use edgeflow_ros::{
    QosProfile, diagnostic_msgs::msg::DiagnosticStatus, nav_msgs::msg::Odometry, sensor_msgs::msg::BatteryState, std_msgs::msg::Int32,
};
use edgeflow_wire::{Entry, EntryBody, EscalationBody, EventSeverity, PolicyOutcome, SampleValue, TriggerBody};
use serde_json::{Value, json};

fn weak() -> Value {
    json!({
        "name": "weak-and-moving", "when": "battery.percentage < 0.2 && speed > 0.1", "for_s": 0.3, "min_interval_s": 3600,
        "severity": "warning", "message": "drives on with a weak battery",
        "watch": {
            "battery": {"topic": "battery", "type": "sensor_msgs/msg/BatteryState"},
            "speed": {"topic": "/robot_1/odom", "type": "nav_msgs/msg/Odometry", "field": "twist.twist.linear.x"},
        },
    })
}

fn fired(held: &Held) -> Vec<(Entry, TriggerBody)> {
    let fired = known(held, "trigger").into_iter().filter_map(|(entry, body)| match body {
        EntryBody::Trigger(trigger) => Some((entry, trigger)),
        _ => None,
    });
    fired.collect()
}

fn escalations(held: &Held) -> Vec<(Entry, EscalationBody)> {
    let told = known(held, "escalation").into_iter().filter_map(|(entry, body)| match body {
        EntryBody::Escalation(escalation) => Some((entry, escalation)),
        _ => None,
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_fires_without_a_link_and_arrives_with_its_own_time() {
    let mut world = World::new().await;
    let battery = world.robot.create_publisher::<BatteryState>("battery", QosProfile::default()).unwrap();
    let odom = world.robot.create_publisher::<Odometry>("odom", QosProfile::default().best_effort()).unwrap();
    let _bridge = world.bridge(&[]);
    let closer = json!({"name": "closer", "when": {"kind": "trigger", "name": "weak-and-moving"}, "for_s": 5,
        "routes": [{"name": "odom", "allow": ["odom"], "fields": ["pose.pose.position.x"], "samples": {"max_hz": 100}}]});
    world.rule(1, json!({"triggers": [weak()], "escalations": [closer]})).await;
    assert!(battery.wait_for_subscribers(1, PATIENCE).await && odom.wait_for_subscribers(1, PATIENCE).await);

    world.plane.away(true);
    world.diagnosed("uplink", |status| status.message.starts_with("not connected")).await;
    let weak = BatteryState { percentage: 0.125, ..BatteryState::default() };
    let mut moving = Odometry::default();
    moving.twist.twist.linear.x = 0.5;
    odom.publish(&moving).unwrap();
    let began_us = now_us();
    battery.publish(&weak).unwrap();
    // Told once a second, the escalation is seen to begin.
    let escalated = |all: &[DiagnosticStatus]| all.iter().any(|status| status.name.contains("route escalation/"));
    world.diagnostics("the escalation", |all| escalated(all).then_some(())).await;
    world.diagnosed("trigger weak-and-moving", |status| counted(status, "fired") == 1).await;
    let known_us = now_us();
    // It ends by itself; the condition holds on and fires no more.
    battery.publish(&weak).unwrap();
    world.diagnosed("trigger weak-and-moving", |status| counted(status, "looked at") >= 3).await;
    world.diagnostics("the end of the escalation", |all| (!escalated(all)).then_some(())).await;
    let returned_us = now_us();
    world.plane.away(false);
    world.plane.until("the trigger arrives", |held| !fired(held).is_empty() && escalations(held).len() == 2).await;

    let held = world.plane.held.lock().unwrap();
    let all = fired(&held);
    let [(entry, body)] = all.as_slice() else { panic!("fired {} times", all.len()) };
    assert!(entry.t_us >= began_us + 300_000 && entry.t_us <= known_us, "{began_us} {} {known_us}", entry.t_us);
    assert!(body.since_us >= began_us - 20_000 && body.since_us <= entry.t_us - 300_000, "{body:?}");
    assert_eq!((body.name.as_str(), body.policy, body.severity), ("weak-and-moving", 1, EventSeverity::Warning));
    assert_eq!(body.message, "drives on with a weak battery");
    assert_eq!(body.values["battery.percentage"], SampleValue::Number(0.125));
    assert_eq!(body.values["speed"], SampleValue::Number(0.5));
    let told = escalations(&held);
    assert_eq!((told[0].1.active, told[0].1.reason.as_str()), (true, "trigger weak-and-moving"));
    assert!(!told[1].1.active && told[1].0.t_us < returned_us, "it ended without a link: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_computed_is_told_once_and_counted_and_never_fires() {
    let mut world = World::new().await;
    let load = world.robot.create_publisher::<Int32>("load", QosProfile::default().transient_local()).unwrap();
    let _bridge = world.bridge(&[]);
    let share = json!({"name": "share", "when": "100 / load > 5", "min_interval_s": 0,
        "watch": {"load": {"topic": "load", "type": "std_msgs/msg/Int32", "field": "data"}}});
    world.rule(1, json!({"triggers": [share, weak()]})).await;
    assert!(load.wait_for_subscribers(1, PATIENCE).await);
    for _ in 0..3 {
        load.publish(&Int32 { data: 0 }).unwrap();
    }
    let status = world.diagnosed("trigger share", |status| counted(status, "not computed") == 3).await;
    assert!(status.message.contains("ivision by zero") && counted(&status, "fired") == 0, "{status:?}");
    load.publish(&Int32 { data: 1000 }).unwrap();
    load.publish(&Int32 { data: 0 }).unwrap();
    load.publish(&Int32 { data: 10 }).unwrap();
    world.plane.until("it fires when it can be computed", |held| fired(held).len() == 1).await;
    {
        let held = world.plane.held.lock().unwrap();
        let told: Vec<_> = faults(&held).into_iter().filter(|(source, _)| source == "trigger share").collect();
        // Once, though the reason came and went.
        assert!(told.len() == 1 && told[0].1.contains("ivision by zero"), "{told:?}");
        assert_eq!(fired(&held)[0].1.values["load"], SampleValue::Number(10.0));
    }

    // A topic of another type is told; a policy that does not fit the types here is refused whole, and the old one goes on.
    let other = world.robot.create_publisher::<Int32>("battery", QosProfile::default()).unwrap();
    let mismatched = |held: &Held| {
        let told = |(source, message): &(String, String)| {
            source == "trigger weak-and-moving" && message.contains("published as std_msgs/msg/Int32")
        };
        faults(held).iter().any(told)
    };
    world.plane.until("the other type is told", mismatched).await;
    drop(other);
    type Change = fn(&mut Value);
    let cases: [(&str, &str, Change); 4] = [
        ("triggers[0].when: ", "no field \"percentge\"", |t| t["when"] = json!("battery.percentge < 0.2 && speed > 0.1")),
        ("triggers[0].when: ", "does not go with", |t| t["when"] = json!("battery.percentage < 'low' && speed > 0.1")),
        ("triggers[0].watch.speed.type: ", "robot_msgs/msg/Odom", |t| t["watch"]["speed"]["type"] = json!("robot_msgs/msg/Odom")),
        ("triggers[0].when: ", "no variable \"volts\"", |t| t["when"] = json!("volts < 3")),
    ];
    for (at, (place, reason, change)) in cases.into_iter().enumerate() {
        let mut wrong = weak();
        change(&mut wrong);
        let word = world.apply(at as u64 + 2, json!({ "triggers": [wrong] })).await;
        assert_eq!((word.outcome, word.ruling), (PolicyOutcome::Refused, 1));
        assert!(word.reason.starts_with(place) && word.reason.contains(reason), "{}", word.reason);
    }
    load.publish(&Int32 { data: 1000 }).unwrap();
    load.publish(&Int32 { data: 10 }).unwrap();
    world.plane.until("the old one goes on", |held| fired(held).len() == 2).await;
}
