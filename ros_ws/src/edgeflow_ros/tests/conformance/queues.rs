//! Bursts at a node that is busy.

use super::{PATIENCE, World, eventually, next};
use edgeflow_ros::{Node, QosProfile, Queue, std_msgs::msg::UInt32};

const BURST: u32 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn all_loses_none_of_a_burst_and_counts_what_is_beyond_its_depth() {
    let world = World::new();
    let talker = Node::create(&world.program(""), "talker", "").unwrap();
    let busy = Node::create(&world.program(""), "busy", "").unwrap();
    // The default quality of service, whose history of 10 must not limit the queue.
    let mut all = busy.subscribe::<UInt32>("burst", QosProfile::default(), Queue::all()).unwrap();
    let mut short = busy.subscribe::<UInt32>("burst", QosProfile::default(), Queue::All { depth: 100 }).unwrap();
    let publisher = talker.create_publisher("burst", QosProfile::default()).unwrap();
    assert!(publisher.wait_for_subscribers(2, PATIENCE).await);
    for data in 0..BURST {
        publisher.publish(&UInt32 { data }).unwrap();
    }
    eventually("the whole burst", || all.waiting() == BURST as usize && short.dropped() == u64::from(BURST) - 100).await;
    for data in 0..BURST {
        assert_eq!(next(&mut all).await.data, data);
    }
    assert_eq!(all.dropped(), 0);
    for data in 0..100 {
        assert_eq!(next(&mut short).await.data, data);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn latest_has_the_newest_and_counts_the_rest() {
    let world = World::new();
    let talker = Node::create(&world.program(""), "talker", "").unwrap();
    let busy = Node::create(&world.program(""), "busy", "").unwrap();
    let mut latest = busy.subscribe::<UInt32>("burst", QosProfile::default(), Queue::Latest { depth: 2 }).unwrap();
    let dropped = latest.drop_counter();
    let publisher = talker.create_publisher("burst", QosProfile::default()).unwrap();
    assert!(publisher.wait_for_subscribers(1, PATIENCE).await);
    for data in 0..BURST {
        publisher.publish(&UInt32 { data }).unwrap();
    }
    eventually("the whole burst", || dropped.get() == u64::from(BURST) - 2).await;
    assert_eq!(next(&mut latest).await.data, BURST - 2);
    assert_eq!(next(&mut latest).await.data, BURST - 1);
    drop(latest);
    assert_eq!(dropped.get(), u64::from(BURST) - 2);
}
