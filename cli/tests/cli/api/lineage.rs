//! What happened, what ran and what changed.

use super::{DIGEST, ran, start};
use serde_json::{Value, json};

#[tokio::test]
async fn events_read_downwards() {
    let (_, url) = start().await;
    let table = ran(&url, &["events", "--target", "robot-1", "--limit", "2"]).await.ok();
    assert_eq!(
        table,
        "TIME                      ROBOT    SEVERITY  EVENT\n2023-11-14T22:13:20.000Z  robot-1  info      earlier\n2023-11-14T22:13:21.000Z  robot-1  error     later\n"
    );
    ran(&url, &["events", "--kind", "rollout,fault", "--notable"]).await.ok();
}

#[tokio::test]
async fn what_ran_is_told_of_a_robot_of_a_moment_and_of_a_bundle() {
    let (_, url) = start().await;
    let digest = &DIGEST[..19];
    let table = ran(&url, &["lineage", "robot-1"]).await.ok();
    assert_eq!(
        table.lines().map(str::to_owned).collect::<Vec<_>>(),
        [
            "SLOT     MODEL     DIGEST               FROM                      UNTIL                                RUN            DATASETS"
                .to_owned(),
            format!("default  reader 2  {digest}  2023-11-14T22:13:21.000Z  now (said 2023-11-14T22:13:21.000Z)  wide 01234567  digits 1111, digits 5c8a"),
            format!("default  reader 1  {digest}  2023-11-14T22:13:20.000Z  2023-11-14T22:13:21.000Z             wide 01234567  digits 1111, digits 5c8a"),
        ]
    );
    let nothing = ran(&url, &["lineage", "robot-1", "--at", "2023-11-14T22:13:19.5Z"]).await.ok();
    assert_eq!(nothing, "the robot has not said that anything ran in this time\n");
    let robots = ran(&url, &["lineage", "--digest", DIGEST]).await.ok();
    assert!(robots.contains(&format!("robot-1  {digest}  yes      2023-11-14T22:13:20.000Z")), "{robots}");
    let robots = ran(&url, &["lineage", "--dataset", "5c8a"]).await.ok();
    assert!(robots.contains("robot-1  reader 3  yes"), "{robots}");
    let bad = ran(&url, &["lineage", "robot-1", "--at", "noon"]).await;
    assert!(bad.code != Some(0) && bad.err.contains("2026-03-03"), "{}", bad.err);
}

#[tokio::test]
async fn what_changed_is_told_between_two_robots_and_two_times_with_who_did_it() {
    let (_, url) = start().await;
    let table = ran(&url, &["lineage", "diff", "robot-1", "robot-2"]).await.ok();
    let lines: Vec<String> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "WHAT NAME BEFORE AFTER",
        "robot robot-2 robot-2",
        "deployed by bob 2023-11-14T22:13:20.000Z, deployment 7 bob 2023-11-14T22:13:20.000Z, deployment 7",
        "parameter rate 0.1 0.2",
        "stage Production None",
        "done by 2023-11-14T22:13:20.000Z alias @champion by carol alias @champion by carol",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} is not in\n{table}");
    }
    let table = ran(&url, &["lineage", "diff", "robot-1", "--at", "2023-11-14", "--to", "2023-11-15", "--slot", "arm"]).await.ok();
    assert!(table.contains("nothing was attested") && table.contains("digits 77aa") && table.contains(", deleted since"), "{table}");
    let asked = json!({"before": "robot-1", "slot": "arm", "before_at_us": "1699920000000000", "after_at_us": "1700006400000000"});
    assert!(table.ends_with(&format!("asked {asked}\n")), "{table}");
    let of_two = ran(&url, &["lineage", "diff", "robot-1", "robot-2", "--at", "2023-11-14"]).await.ok();
    assert!(of_two.contains("\"after_at_us\":\"1699920000000000\""), "two robots at one time: {of_two}");
    let answer = ran(&url, &["lineage", "diff", "robot-1", "robot-2", "--output", "json"]).await.ok();
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["model"]["params"]["rate"]["after"], "0.2");
    let alone = ran(&url, &["lineage", "diff", "robot-1"]).await;
    assert!(alone.code == Some(2) && alone.err.contains("OTHER"), "{}", alone.err);
}

#[tokio::test]
async fn a_timeline_is_read_page_by_page() {
    let (plane, url) = start().await;
    let table = ran(&url, &["lineage", "timeline", "robot-1", "--from", "2023-11-14", "--category", "drift,attested"]).await.ok();
    assert_eq!(
        table.lines().collect::<Vec<_>>(),
        [
            "WHEN                      BY      ABOUT     WHO               WHAT",
            "2023-11-14T22:13:21.000Z  robot   attested  robot:robot-1     later",
            "2023-11-14T22:13:20.000Z  server  attested  robot:robot-1  !  earlier",
        ]
    );
    let asked = plane.asked.lock().unwrap().clone();
    let first = json!({"target": "robot-1", "from_us": "1699920000000000", "category": "drift,attested", "limit": "100"});
    assert_eq!((&asked[0], &asked[1]["after"], &asked[1]["limit"]), (&first, &json!("5.entry.1"), &json!("99")));
    let one = ran(&url, &["lineage", "timeline", "robot-1", "--limit", "1"]).await.ok();
    assert!(one.ends_with("there are more: give a greater --limit, or --to\n"), "{one}");
    let answer = ran(&url, &["lineage", "timeline", "robot-1", "--output", "json", "--limit", "1"]).await.ok();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((answer["items"].as_array().unwrap().len(), &answer["next"]), (1, &json!("5.entry.1")));
}

#[tokio::test]
async fn lineage_is_exported_a_line_an_event_and_says_where_to_go_on() {
    let (_, url) = start().await;
    let arguments = ["lineage", "export", "--format", "openlineage", "--after", "1.0.0", "--namespace", "plant 2"];
    let told = ran(&url, &arguments).await;
    let lines = "{\"eventType\":\"START\"}\n{\"eventType\":\"COMPLETE\"}\n";
    assert_eq!((told.code, told.out.as_str()), (Some(0), lines), "{}", told.err);
    assert!(told.err.ends_with("to go on from here: --after 3.0.7\n"), "{}", told.err);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lineage.ndjson");
    let told = ran(&url, &[&arguments[..], &["--out", file.to_str().unwrap()]].concat()).await;
    assert_eq!((told.code, told.out.as_str(), std::fs::read_to_string(&file).unwrap().as_str()), (Some(0), "", lines));
    let nowhere = folder.path().join("no/such");
    let refused = ran(&url, &[&arguments[..], &["--out", nowhere.to_str().unwrap()]].concat()).await;
    assert!(refused.code == Some(1) && refused.err.contains("no/such"), "{}", refused.err);
}
