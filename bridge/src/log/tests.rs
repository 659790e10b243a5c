//! The log on its thread.

use super::*;
use crate::Recorder;
use edgeflow_wire::Content;

fn fault(message: impl Into<String>) -> EntryBody {
    EntryBody::Fault(FaultBody { source: "test".into(), message: message.into() })
}

#[tokio::test]
async fn entries_are_written_in_order_and_all_are_there_when_the_log_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::new().unwrap();
    let (log, thread) = LogHandle::open(dir.path(), Options::default(), clock).unwrap();
    let recorder = Recorder::new(log.clone(), clock);
    for n in 0..1_500 {
        recorder.fault("test", n.to_string()).await;
    }
    drop((log, recorder));
    thread.closed().await;
    let mut log = EdgeLog::open(dir.path(), Options::default()).unwrap().0;
    let run = log.read(Class::Critical, 1, 10_000, usize::MAX).unwrap();
    let messages: Vec<Content> = run.entries.into_iter().map(|entry| entry.content).collect();
    assert_eq!(messages, (0..1_500).map(|n: i32| Content::from(fault(n.to_string()))).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_entry_that_is_too_large_is_named_and_its_neighbours_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::new().unwrap();
    let (mut log, _thread) = LogHandle::open(dir.path(), Options::default(), clock).unwrap();
    let recorder = Recorder::new(log.clone(), clock);
    for message in ["before".to_owned(), "x".repeat(edgeflow_edge_log::MAX_ENTRY_BYTES), "after".to_owned()] {
        recorder.record_now(Class::Critical, fault(message)).await;
    }
    let mut ends = log.ends();
    ends.wait_for(|ends| ends[0] == 4).await.unwrap();
    let batch = log.read(Class::Critical, 1, Limits::default()).await.unwrap();
    let texts: Vec<String> = batch.entries.iter().map(|entry| serde_json::to_string(&entry.content).unwrap()).collect();
    assert!(texts[0].contains("before") && texts.iter().any(|text| text.contains("after")));
    assert!(texts.iter().any(|text| text.contains("was refused")), "{texts:?}");
}

#[tokio::test]
async fn a_log_damaged_in_an_earlier_life_is_a_fault_in_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("edge_log.db"), "no database ".repeat(500)).unwrap();
    let clock = Clock::new().unwrap();
    let (mut log, _thread) = LogHandle::open(dir.path(), Options::default(), clock).unwrap();
    let batch = log.read(Class::Critical, 1, Limits::default()).await.unwrap();
    assert!(serde_json::to_string(&batch.entries).unwrap().contains("damaged"), "{batch:?}");
}

#[tokio::test]
async fn a_refused_epoch_moves_everything_to_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::new().unwrap();
    let (mut log, _thread) = LogHandle::open(dir.path(), Options::default(), clock).unwrap();
    let recorder = Recorder::new(log.clone(), clock);
    recorder.fault("test", "one".into()).await;
    log.ends().wait_for(|ends| ends[0] == 2).await.unwrap();
    let before = log.hello().await.unwrap();
    log.new_epoch("cloned").await.unwrap();
    let after = log.hello().await.unwrap();
    assert_ne!(before.epoch, after.epoch);
    log.ends().wait_for(|ends| ends[0] == 3).await.unwrap();
    let batch = log.read(Class::Critical, 1, Limits::default()).await.unwrap();
    assert_eq!((batch.epoch, batch.entries.len()), (after.epoch, 2));
}
