//! A robot whose disk is full: what was acknowledged as durable stays, what came meanwhile waits in memory and is written when there
//! is room, and what had to be given up is told. The disk is a small tmpfs in a mount namespace of its own, where the system lets a
//! user make one; else the reason is printed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use edgeflow_bridge::{Clock, LogHandle, Recorder};
use edgeflow_edge_log::Options;
use edgeflow_uplink::{Backlog, Limits};
use edgeflow_wire::{ApplicationEventBody, Class, Content, EntryBody, EventSeverity};
use serde_json::json;
use std::{fs, io::Write, path::Path, path::PathBuf, process::Command, time::Duration};

const DISK: &str = "EDGEFLOW_SMALL_DISK";

/// Runs the calling test again, by its name, in a namespace with a disk of that size; gives the disk's path there, and none here.
fn on_a_small_disk(test: &str, size: &str) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(disk.into());
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--", "sh", "-c", script]).arg(folder.path()).arg(size);
        command
    };
    const MOUNT: &str = "mount -t tmpfs -o size=$1 tmpfs \"$0\"";
    match namespace(MOUNT).output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            eprintln!("skipped: this system lets no user mount a tmpfs: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        Err(error) => {
            eprintln!("skipped: no program unshare: {error}");
            return None;
        }
    }
    let mut command = namespace(&format!("{MOUNT} && shift && exec \"$@\""));
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(DISK, folder.path());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "on a disk of {size}: {told}");
    None
}

fn event(n: u64) -> EntryBody {
    let (source, name, message) = ("test".to_owned(), "n".to_owned(), "x".repeat(800));
    EntryBody::ApplicationEvent(ApplicationEventBody { source, name, severity: EventSeverity::Info, message, data: json!({ "n": n }) })
}

/// Takes all the room there is.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    for size in [64 * 1024, 4096, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

/// Everything of a class, the numbers of events read back.
async fn held(log: &mut LogHandle, class: Class) -> Vec<Content> {
    let (mut from, mut all) = (1, Vec::new());
    loop {
        let batch = log.read(class, from, Limits::default()).await.unwrap();
        assert_eq!(batch.loss, None);
        let Some(last) = batch.entries.last().map(|entry| entry.seq) else { return all };
        from = last + 1;
        all.extend(batch.entries.into_iter().map(|entry| entry.content));
    }
}

fn numbers(entries: &[Content]) -> Vec<u64> {
    let number = |content: &Content| match content {
        Content::Known(EntryBody::ApplicationEvent(event)) => event.data["n"].as_u64().unwrap(),
        other => panic!("{other:?}"),
    };
    entries.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_the_disk_is_full_waits_and_nothing_that_was_durable_is_lost() {
    let test = "what_comes_while_the_disk_is_full_waits_and_nothing_that_was_durable_is_lost";
    let Some(disk) = on_a_small_disk(test, "16m") else { return };
    let clock = Clock::new().unwrap();
    let (mut log, thread) = LogHandle::open(&disk, Options::default(), clock).unwrap();
    let recorder = Recorder::new(log.clone(), clock);
    // A disk that is full does not answer: how long that is waited for must be much longer than one takes that is slow.
    let durably = |n| {
        let recorder = recorder.clone();
        async move {
            let recorded = recorder.record_durably(Class::Event, clock.now(), event(n));
            tokio::time::timeout(Duration::from_secs(2), recorded).await.unwrap_or(false)
        }
    };
    let mut n = 0;
    for round in 0..3 {
        n += 1;
        assert!(durably(n).await, "round {round}");
        let filler = fill(&disk);
        // The journal has some room left; then the disk takes nothing, and says so by not answering.
        loop {
            n += 1;
            if !durably(n).await {
                break;
            }
        }
        n += 1;
        assert!(!durably(n).await, "round {round}");
        assert!(numbers(&held(&mut log, Class::Event).await).len() as u64 >= n - 2, "what is held can be read meanwhile");
        fs::remove_file(filler).unwrap();
        log.written().await.unwrap();
        assert_eq!(numbers(&held(&mut log, Class::Event).await), (1..=n).collect::<Vec<_>>(), "round {round}");
    }
    drop((log, recorder));
    thread.closed().await;
    let (mut log, _thread) = LogHandle::open(&disk, Options::default(), clock).unwrap();
    assert_eq!(numbers(&held(&mut log, Class::Event).await), (1..=n).collect::<Vec<_>>());
    assert!(held(&mut log, Class::Critical).await.is_empty(), "nothing was lost, so nothing is told");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_had_to_be_given_up_is_the_least_valuable_and_is_counted_in_a_fault() {
    let test = "what_had_to_be_given_up_is_the_least_valuable_and_is_counted_in_a_fault";
    let Some(disk) = on_a_small_disk(test, "64m") else { return };
    let clock = Clock::new().unwrap();
    let (mut log, _thread) = LogHandle::open(&disk, Options::default(), clock).unwrap();
    let recorder = Recorder::new(log.clone(), clock);
    recorder.record_durably(Class::Event, clock.now(), event(1)).await;
    let filler = fill(&disk);
    // More than is kept in memory: 16,384 entries. Details go first, of those the oldest.
    const DETAILS: u64 = 20_000;
    for n in 1..=DETAILS {
        recorder.record_now(Class::Detail, event(n)).await;
    }
    for n in 2..=100 {
        recorder.record_now(Class::Event, event(n)).await;
    }
    let recorded = recorder.record_durably(Class::Event, clock.now(), event(101));
    let durable = tokio::time::timeout(Duration::from_secs(30), recorded).await;
    assert_eq!(durable.ok(), Some(false), "who asks is not told that all is on the disk, nor left waiting");
    fs::remove_file(filler).unwrap();
    log.ends().wait_for(|ends| ends[Class::Event as usize] == 102).await.unwrap();
    log.written().await.unwrap();
    assert_eq!(numbers(&held(&mut log, Class::Event).await), (1..=101).collect::<Vec<_>>());
    let details = numbers(&held(&mut log, Class::Detail).await);
    assert!(details.is_sorted() && details.last() == Some(&DETAILS));
    let lost = DETAILS - details.len() as u64;
    assert!(lost > 0);
    let mut told = 0;
    for fault in held(&mut log, Class::Critical).await {
        let Content::Known(EntryBody::Fault(fault)) = fault else { panic!("{fault:?}") };
        let (count, rest) = fault.message.split_once(' ').unwrap();
        assert!(rest.starts_with("entries were lost because the disk took none"), "{}", fault.message);
        told += count.parse::<u64>().unwrap();
    }
    assert_eq!(told, lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_starts_on_a_full_disk_waits_for_room_and_goes_on_with_its_log() {
    let Some(disk) = on_a_small_disk("a_bridge_that_starts_on_a_full_disk_waits_for_room_and_goes_on_with_its_log", "16m") else { return };
    let clock = Clock::new().unwrap();
    let (log, thread) = LogHandle::open(&disk, Options::default(), clock).unwrap();
    let recorder = Recorder::new(log.clone(), clock);
    assert!(recorder.record_durably(Class::Event, clock.now(), event(1)).await);
    let epoch = log.snapshot().borrow().epoch.clone();
    drop((log, recorder));
    thread.closed().await;
    let filler = fill(&disk);

    let (mut log, _thread) = LogHandle::open(&disk, Options::default(), clock).unwrap();
    let recorder = Recorder::new(log.clone(), clock);
    let recorded = recorder.record_durably(Class::Event, clock.now(), event(2));
    assert!(tokio::time::timeout(Duration::from_millis(500), recorded).await.is_err(), "there is no room for it");
    fs::remove_file(filler).unwrap();
    log.ends().wait_for(|ends| ends[Class::Event as usize] == 3).await.unwrap();
    log.snapshot().wait_for(|log| log.epoch == epoch).await.unwrap();
    assert_eq!(numbers(&held(&mut log, Class::Event).await), [1, 2]);
}
