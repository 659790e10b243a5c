//! What happens on the robot reaches the control plane.

use crate::{common::Held, world::*};
use edgeflow_ros::{
    Node, QosProfile,
    edgeflow_msgs::msg::{InferenceResult, MissionEvent, UplinkStatus},
};
use edgeflow_wire::{Content, EntryBody};
use futures::StreamExt;

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_on_the_robot_reaches_the_control_plane() {
    let world = World::new().await;
    let robot = world.bridge();
    let simulated = Node::create(&robot.context, "sim_robot", NAMESPACE).unwrap();
    let qos = || QosProfile::default().keep_last(100).reliable();
    let missions = simulated.create_publisher::<MissionEvent>("mission", qos()).unwrap();
    let results = simulated.create_publisher::<InferenceResult>("inference_node/result", qos()).unwrap();
    let latched = QosProfile::default().keep_last(1).reliable().transient_local();
    let mut status = simulated.subscribe::<UplinkStatus>("bridge_node/status", latched, edgeflow_ros::Queue::latest()).unwrap();
    assert!(missions.wait_for_subscribers(1, PATIENCE).await && results.wait_for_subscribers(1, PATIENCE).await);
    for sequence in 1..=50 {
        missions.publish(&MissionEvent { sequence, mission_id: "m".into(), kind: 1, ..MissionEvent::default() }).unwrap();
        results.publish(&InferenceResult { model_digest: "sha256:d".into(), latency_us: 100, ..InferenceResult::default() }).unwrap();
    }
    world.plane.until("all missions are stored", |held| held.kinds("mission").len() == 50).await;
    let results_told = |held: &Held| -> u64 {
        let summaries = held.kinds("inference_summary").into_iter().filter_map(|entry| match entry.content {
            Content::Known(EntryBody::InferenceSummary(summary)) => Some(summary.results),
            _ => None,
        });
        summaries.sum()
    };
    world.plane.until("all results are summed up", |held| results_told(held) == 50).await;
    {
        let held = world.plane.held.lock().unwrap();
        let mut sequences: Vec<(u64, u64)> = held
            .kinds("mission")
            .into_iter()
            .filter_map(|entry| match entry.content {
                Content::Known(EntryBody::Mission(mission)) => Some((entry.seq, mission.sequence)),
                _ => None,
            })
            .collect();
        sequences.sort_unstable();
        assert_eq!(sequences.iter().map(|(_, sequence)| *sequence).collect::<Vec<_>>(), (1..=50).collect::<Vec<_>>());
        assert!(faults(&held).is_empty(), "{}", faults(&held));
    }
    world.plane.until("the link's coming is told", |held| held.kinds("link").len() == 1).await;
    let shown = tokio::time::timeout(PATIENCE, async {
        while let Some(status) = status.next().await {
            if status.connected && status.classes.iter().any(|class| class.name == "event" && class.acknowledged >= 50) {
                return status;
            }
        }
        panic!("the status ended");
    });
    assert_eq!(shown.await.unwrap().robot, "robot-1");
    drop(simulated);
    robot.stop().await;
}
