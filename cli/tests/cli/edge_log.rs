//! The log on a robot's disk, looked at while the bridge has it open.

use edgeflow_edge_log::{EdgeLog, Options};
use edgeflow_wire::{Class, Content};
use serde_json::{Value, json};
use std::{fs, path::Path};

use crate::support::{Ran, program, run};

async fn edge_log(arguments: &[&str]) -> Ran {
    run(program(&[&["edge-log"], arguments].concat())).await
}

/// 3 faults of which one is acknowledged, and summaries of which the budget has taken some.
fn log(dir: &Path) -> EdgeLog {
    let mut log = EdgeLog::open(dir, Options { budget_bytes: 2_000, ..Options::default() }).unwrap().0;
    let content = |kind: &str, n: i64| Content::Unknown { kind: kind.into(), body: json!({ "n": n, "text": "x".repeat(40) }) };
    for n in 1..=3 {
        log.append(Class::Critical, 1_700_000_000_000_000 + n, 0, content("fault", n)).unwrap();
    }
    for n in 1..=30 {
        log.append(Class::Summary, 1_700_000_100_000_000 + n, 0, content("inference_summary", n)).unwrap();
    }
    log.acknowledge(Class::Critical, 2).unwrap();
    log
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn inspect_says_where_each_class_stands() {
    let dir = tempfile::tempdir().unwrap();
    let open = log(dir.path());
    let path = dir.path().to_str().unwrap();
    let said = edge_log(&["inspect", path]).await.ok();
    assert!(said.contains(open.epoch()) && said.contains("critical") && said.contains("2023-11-14T22:13:20.000Z"), "{said}");
    assert!(said.contains("lost, and not yet known to the control plane: summary 1 to "), "{said}");
    let told: Value = serde_json::from_str(&edge_log(&["inspect", path, "--json"]).await.ok()).unwrap();
    let critical = &told["classes"][0];
    assert_eq!((&critical["appended"], &critical["acknowledged"], &critical["held"]), (&json!(3), &json!(1), &json!(2)));
    let summary = &told["classes"][2];
    assert_eq!(summary["lost"].as_u64().unwrap() + summary["held"].as_u64().unwrap(), 30);
    let verified = edge_log(&["verify", path]).await.ok();
    assert!(verified.contains("is whole, entries checked: "), "{verified}");
}

#[tokio::test]
async fn verify_names_what_is_wrong_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    drop(log(dir.path()));
    let file = dir.path().join("edge_log.db");
    let mut bytes = fs::read(&file).unwrap();
    let at = bytes.windows(5).position(|window| window == b"fault").unwrap();
    bytes[at] = b'F';
    fs::write(&file, bytes).unwrap();
    let ran = edge_log(&["verify", file.to_str().unwrap()]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(
        ran.err.contains("class critical, entry ") && ran.err.contains("checksum") && ran.err.contains("problems found: 1 "),
        "{ran:?}"
    );
    let missing = edge_log(&["inspect", dir.path().join("gone").to_str().unwrap()]).await.failed();
    assert!(missing.contains("could not open") && missing.contains("gone"), "{missing}");
}

#[tokio::test]
async fn export_gives_every_entry_once_as_lines_and_as_mcap() {
    let dir = tempfile::tempdir().unwrap();
    let _open = log(dir.path());
    let path = dir.path().to_str().unwrap();
    let all = lines(&edge_log(&["export", path]).await.ok());
    let faults = lines(&edge_log(&["export", path, "--class", "critical"]).await.ok());
    assert_eq!(faults.iter().map(|fault| fault["seq"].as_str().unwrap()).collect::<Vec<_>>(), ["2", "3"]);
    assert!(faults.iter().all(|fault| fault["class"] == "critical" && fault["kind"] == "fault"));
    assert_eq!(all.iter().filter(|entry| entry["class"] == "critical").count(), 2);
    assert_eq!(all.last().unwrap()["seq"], "30");

    let out = dir.path().join("backlog.mcap");
    edge_log(&["export", path, "--out", out.to_str().unwrap()]).await.ok();
    let mapped = fs::read(&out).unwrap();
    let messages: Vec<_> = mcap::MessageStream::new(&mapped).unwrap().map(Result::unwrap).collect();
    assert_eq!(messages.len(), all.len());
    for (message, line) in messages.iter().zip(&all) {
        let entry: Value = serde_json::from_slice(&message.data).unwrap();
        assert_eq!((&entry["body"], &entry["seq"]), (&line["body"], &line["seq"]));
        assert_eq!(message.channel.topic, format!("/edge_log/{}/{}", line["class"].as_str().unwrap(), line["kind"].as_str().unwrap()));
        assert_eq!(message.log_time, line["t_us"].as_u64().unwrap() * 1_000);
    }

    let again = edge_log(&["export", path, "--out", out.to_str().unwrap()]).await.failed();
    assert!(again.contains("could not write") && again.contains("exists"), "{again}");
    let unknown = edge_log(&["export", path, "--out", "backlog.csv"]).await.failed();
    assert!(unknown.contains("neither .jsonl nor .mcap"), "{unknown}");
}
