//! Commands and policies.

use super::{ran, start};
use serde_json::json;

#[tokio::test]
async fn a_command_is_given_and_its_end_is_the_exit_status() {
    let (plane, url) = start().await;
    let out = ran(&url, &["command", "call", "robot-1", "reset", "std_srvs/srv/SetBool", "data: true", "--expires", "30"]).await.ok();
    assert_eq!(out, "command done\n{\n  \"success\": true\n}\ndone\n");
    let action =
        json!({"kind": "call_service", "service": "reset", "type": "std_srvs/srv/SetBool", "request": {"data": true}, "timeout_s": 10.0});
    assert_eq!(plane.asked.lock().unwrap()[0], json!({"action": action, "expires_s": 30.0}));
    let ran_refused = ran(&url, &["command", "publish", "robot-1", "said", "std_msgs/msg/String", "{data: x}"]).await;
    assert_eq!(ran_refused.code, Some(1));
    assert!(ran_refused.err.contains("is refused: not in command_services"), "{}", ran_refused.err);
    assert_eq!(ran(&url, &["command", "pause", "robot-1", "--for", "60", "--no-wait"]).await.ok(), "command done\n");
    let example = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies/health.yaml");
    ran(&url, &["command", "escalate", "robot-1", example.to_str().unwrap(), "--for", "60", "--no-wait"]).await.ok();
    let action = plane.asked.lock().unwrap().last().unwrap()["action"].clone();
    assert_eq!(
        (&action["kind"], &action["routes"][0]["name"], action["routes"][0].get("class")),
        (&json!("escalate"), &json!("worst-level"), None)
    );
    ran(&url, &["command", "capture", "robot-1", "--reason", "odd noise", "--after", "2.5", "--no-wait"]).await.ok();
    let action = plane.asked.lock().unwrap().last().unwrap()["action"].clone();
    assert_eq!(action, json!({"kind": "capture", "reason": "odd noise", "after_s": 2.5}));
    let table = ran(&url, &["command", "list", "robot-1"]).await.ok();
    assert!(table.contains("c1  call_service  refused  not in command_services"), "{table}");
}

#[tokio::test]
async fn policies_are_checked_here_and_declared_there() {
    let (plane, url) = start().await;
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies");
    let guide = std::fs::read_to_string(examples.join("../bridge.md")).unwrap();
    let mut checked = 0;
    for file in std::fs::read_dir(&examples).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let shown: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        assert!(guide.contains(&shown), "docs/bridge.md shows another {}", file.display());
        let out = ran(&url, &["policy", "check", file.to_str().unwrap()]).await.ok();
        assert!(out.contains("is a policy of"), "{out}");
        checked += 1;
    }
    assert_eq!(checked, 4);
    let file = examples.join("position.yaml");
    let out = ran(&url, &["policy", "set", file.to_str().unwrap(), "--to", "robot-1,robot-2"]).await.ok();
    assert_eq!(out, "robot-1 policy version 3\nrobot-2 policy version 3\n");
    let asked = plane.asked.lock().unwrap().clone();
    assert_eq!((&asked[1]["target"], &asked[1]["document"]["routes"][0]["name"]), (&json!("robot-2"), &json!("position")));
    let out = ran(&url, &["policy", "show", "robot-1"]).await.ok();
    assert!(out.contains("version 3 refused: routes[0]: no; version 2 rules"), "{out}");

    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (from, to, reason) in [
        ("period_s: 60", "period_s: 0", "routes[0].window.period_s"),
        ("position.x", "positon.x", "routes[0].fields[0]: nav_msgs/msg/Odometry.pose.pose: there is no field \"positon\""),
        ("routes:", "routes: [", "is not YAML"),
    ] {
        std::fs::write(&wrong, text.replacen(from, to, 1)).unwrap();
        let error = ran(&url, &["policy", "check", wrong.to_str().unwrap()]).await.failed();
        assert!(error.contains(reason) && error.contains("wrong.yaml"), "{error}");
    }
    let text = std::fs::read_to_string(examples.join("watchful.yaml")).unwrap();
    for (from, to, reason) in [
        ("battery.percentage", "battery.percent", "triggers[0].when: sensor_msgs/msg/BatteryState: there is no field \"percent\""),
        ("< 0.2 &&", "< 0.2 and", "triggers[0].when: column"),
        ("name: weak-and-moving }", "name: other }", "escalations[0].when.name: there is no trigger \"other\""),
    ] {
        std::fs::write(&wrong, text.replacen(from, to, 1)).unwrap();
        let error = ran(&url, &["policy", "check", wrong.to_str().unwrap()]).await.failed();
        assert!(error.contains(reason), "{error}");
    }
}
