//! What holds of every command: help with examples, and a document for programs.

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fs, path::Path};

use crate::support::{Graph, program, run};

/// Commands of help, without those that have commands of their own.
async fn leaves() -> Vec<Vec<String>> {
    let (mut open, mut leaves) = (vec![Vec::<String>::new()], Vec::new());
    while let Some(path) = open.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = run(program(&words)).await.ok();
        let listed = help.split("\nCommands:\n").nth(1).unwrap_or_default().lines().take_while(|line| !line.is_empty());
        let names =
            listed.filter(|line| line.starts_with("  ") && !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
        let below: Vec<String> = names.filter(|name| *name != "help").map(str::to_owned).collect();
        assert!(help.contains("Example") || !below.is_empty(), "edgeflow {} has no example in its help:\n{help}", path.join(" "));
        if below.is_empty() {
            leaves.push(path);
        } else {
            open.extend(below.into_iter().map(|name| [path.clone(), vec![name]].concat()));
        }
    }
    leaves
}

/// Commands that print no document: what they print is text in a language of its own, or goes on, or is a secret to be piped.
const TEXTS: &[&str] = &[
    "completions",
    "lineage export",
    "live",
    "ros action info",
    "ros action send_goal",
    "ros interface show",
    "ros lifecycle get",
    "ros lifecycle list",
    "ros lifecycle set",
    "ros param describe",
    "ros param dump",
    "ros param get",
    "ros param list",
    "ros param set",
    "ros router",
    "ros service call",
    "ros topic echo",
    "ros topic hz",
    "ros topic info",
    "ros topic pub",
];
/// Tested where there is what they need: an MQTT broker's CA, a control plane that enrols.
const ELSEWHERE: &[&str] = &["broker certificate", "enroll"];

const MODEL: &[u8] = b"weights";

fn sha256() -> String {
    Sha256::digest(MODEL).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A control plane that answers each path with a document as the API describes it.
async fn answer(State(()): State<()>, method: Method, uri: Uri, _body: Bytes) -> Response {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let path = uri.path().trim_start_matches("/api/v1");
    let list = |items: Value| json!({ "items": items, "next": null });
    let command = json!({ "id": "c1", "target": "robot-1", "state": "done", "message": "", "result": null, "issued_us": 1, "action": { "kind": "pause" } });
    let deployment = json!({ "id": "d1", "model": "m", "version": "1", "state": "succeeded", "targets": [{ "target": "robot-1", "status": "active", "reason": "" }] });
    let version = json!({ "model": "m", "version": "1", "digest": digest, "deployable": true, "size_bytes": 7, "created_at_us": 1, "created_by": "a",
        "files": [{ "path": "model.onnx", "size_bytes": MODEL.len(), "sha256": sha256() }] });
    let capture = json!({ "id": "c-1", "place": "stored", "reason": "", "triggered_us": 1, "start_us": 1, "end_us": 2, "messages": 1,
        "size_bytes": MODEL.len(), "received_bytes": MODEL.len(), "sha256": sha256(), "gone_why": null });
    let target = json!({ "name": "robot-1", "online": true, "last_seen_us": 1, "desired": { "server_epoch": 1, "generation": 0, "slots": {} }, "observed": null,
        "slots": {}, "drift": null, "accuracy": null, "policy": null, "software": null });
    let policy = json!({ "target": "robot-1", "version": 1, "document": {}, "status": null });
    let head = json!({ "revision": 1, "based_on": 0, "state": "applied", "message": "", "digest": "d", "created_at_us": 1, "created_by": "a",
        "decided_by": null, "decided_at_us": null, "reason": "", "robots": 1 });
    let plan = json!({ "revision": 0, "digest": "d", "review": "none", "changes": [{ "path": "groups.a", "before": null, "after": {} }], "robots": [],
        "rollouts": [], "under_way": [], "not_enrolled": [] });
    let rollout = json!({ "id": "7", "kind": "model", "name": "m", "version": "1", "phase": "succeeded", "holds": "", "stage": "all", "robots": {},
        "created_at_us": 1, "created_by": "a", "plan": [], "actions": [], "history": [] });
    let document = match (method.as_str(), path) {
        (_, "/fleet/plan") => plan,
        (_, "/fleet") => json!({ "revision": 0, "spec": null, "applied": null, "proposals": [], "groups": {} }),
        (_, "/fleet/export") => json!({ "revision": 0, "spec": {} }),
        (_, "/fleet/revisions") => list(json!([head])),
        (_, path) if path.starts_with("/fleet/") => head,
        ("GET", "/rollouts") => list(json!([rollout])),
        ("POST", "/rollouts") if uri.query().is_some() => json!({ "release": {}, "stages": [], "left_out": [], "taken": [] }),
        (_, path) if path.starts_with("/rollouts") => rollout,
        ("POST", "/targets") => json!({ "name": "robot-2", "token": "s3cret" }),
        (_, "/targets") => list(json!([target])),
        ("DELETE", _) => return StatusCode::NO_CONTENT.into_response(),
        (_, "/targets/robot-1" | "/targets/robot-1/labels" | "/targets/robot-1/hold") => target,
        (_, "/targets/robot-1/conflicts/default/resolve") => target,
        (_, "/targets/robot-1/conflicts") => list(json!([])),
        (_, "/v1/hold") => json!({ "robot": null, "control": null }),
        ("POST", "/operators") => json!({ "name": "ada", "token": "op_ada.5ec2e7" }),
        (_, "/operators") => json!([]),
        (_, "/targets/robot-1/bootstrap") => json!({ "token": "t", "expires_at_us": 1, "ca_fingerprint": "ab" }),
        (_, "/targets/robot-1/certificates") => json!([]),
        (_, "/targets/robot-1/captures") => list(json!([capture])),
        (_, "/targets/robot-1/captures/c-1") => return MODEL.into_response(),
        (_, path) if path == format!("/artifacts/{}", sha256()) => return MODEL.into_response(),
        ("GET", "/targets/robot-1/commands") => list(json!([command])),
        (_, path) if path.starts_with("/targets/robot-1/commands") => command,
        (_, "/targets/robot-1/policy") => policy,
        (_, "/targets/robot-1/drift") => json!({ "target": "robot-1", "reports": [] }),
        (_, "/targets/robot-1/log") => {
            let entries = json!({ "stored": 0, "duplicated": 0, "missing": 0, "lost_recorded": 0, "removed": 0 });
            json!({ "target": "robot-1", "classes": [], "entries": entries, "refused_batches": 0 })
        }
        (_, "/targets/robot-1/lineage") => json!({ "target": "robot-1", "intervals": [] }),
        (_, "/lineage/diff") => json!({ "same": true }),
        (_, "/lineage/timeline") => list(json!([])),
        (_, "/drift" | "/events") => list(json!([])),
        (_, "/deployments") => deployment,
        (_, "/models") => list(json!([{ "name": "m", "versions": [] }])),
        (_, "/models/m") => json!({ "name": "m", "versions": [version] }),
        (_, "/models/m/versions" | "/models/m/versions/1") => version,
        (_, "/models/m/versions/1/diff") => {
            json!({ "compatible": true, "inputs": {}, "outputs": {}, "labels": null, "metrics": {}, "files": {}, "manifest": null })
        }
        (_, "/server") => json!({ "version": "0.1.0", "server_epoch": 1, "started_at_us": 1 }),
        _ => return (StatusCode::NOT_FOUND, Json(json!({ "error": { "code": "not_found", "message": path } }))).into_response(),
    };
    Json(document).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_has_examples_and_prints_a_document_when_asked_for_json() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer).with_state(())).await });
    let graph = Graph::start();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let bridge = tokio::net::UnixListener::bind(at("bridge.sock")).unwrap();
    tokio::spawn(async move { axum::serve(bridge, Router::new().fallback(answer).with_state(())).await });
    fs::write(at("model.onnx"), MODEL).unwrap();
    fs::write(at("data.csv"), "a\n".to_owned() + &(0..200).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
    drop(edgeflow_edge_log::EdgeLog::open(Path::new(&at("log")), edgeflow_edge_log::Options::default()).unwrap());
    fs::write(at("fleet.yaml"), "groups: {a: {names: [robot-1]}}\n").unwrap();
    let policy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/policies/position.yaml").display().to_string();

    let commands: &[(&str, &[&str])] = &[
        ("apply", &["-f", &at("fleet.yaml"), "--yes"]),
        ("diff", &["-f", &at("fleet.yaml")]),
        ("export", &[]),
        ("fleet approve", &["1"]),
        ("fleet check", &["-f", &at("fleet.yaml")]),
        ("fleet log", &[]),
        ("fleet reject", &["1"]),
        ("fleet revert", &["1"]),
        ("fleet schema", &[]),
        ("fleet show", &["1"]),
        ("fleet status", &[]),
        ("plan", &["-f", &at("fleet.yaml")]),
        ("rollout abort", &["7"]),
        ("rollout approve", &["7"]),
        ("rollout list", &[]),
        ("rollout pause", &["7"]),
        ("rollout plan", &["m", "1", "--to", "robot-1"]),
        ("rollout promote", &["7"]),
        ("rollout resume", &["7"]),
        ("rollout retry", &["7"]),
        ("rollout rollback", &["7"]),
        ("rollout show", &["7"]),
        ("rollout start", &["m", "1", "--to", "robot-1", "--watch"]),
        ("rollout watch", &["7"]),
        ("baseline build", &[&at("data.csv"), "--out", &at("baseline.json")]),
        ("baseline show", &[&at("baseline.json")]),
        ("captures list", &["robot-1"]),
        ("captures get", &["robot-1", "c-1", "--out", &at("c.mcap")]),
        ("command call", &["robot-1", "reset", "std_srvs/srv/Trigger"]),
        ("command capture", &["robot-1"]),
        ("command escalate", &["robot-1", &policy, "--for", "1"]),
        ("command list", &["robot-1"]),
        ("command pause", &["robot-1", "--for", "1"]),
        ("command publish", &["robot-1", "said", "std_msgs/msg/String"]),
        ("command resume", &["robot-1"]),
        ("config set", &["output", "table"]),
        ("config show", &[]),
        ("config unset", &["output"]),
        ("deploy", &["m", "1", "--to", "robot-1", "--wait"]),
        ("doctor", &["--robot", "robot-1"]),
        ("drift", &[]),
        ("edge-log inspect", &[&at("log")]),
        ("edge-log verify", &[&at("log")]),
        ("edge-log export", &[&at("log"), "--out", &at("log.jsonl")]),
        ("events", &[]),
        ("hold give-up", &["default", "--socket", &at("bridge.sock")]),
        ("hold release", &["--socket", &at("bridge.sock")]),
        ("hold set", &["audit", "--socket", &at("bridge.sock")]),
        ("hold show", &["--socket", &at("bridge.sock")]),
        ("lineage", &["robot-1"]),
        ("lineage diff", &["robot-1", "robot-2"]),
        ("lineage timeline", &["robot-1"]),
        ("login", &[&url]),
        ("logs", &["robot-1"]),
        ("model diff", &["m", "1", "1"]),
        ("model list", &[]),
        ("model pull", &["m", "1", "--out", &at("pulled")]),
        ("model push", &[&at("model.onnx"), "--name", "m"]),
        ("model show", &["m", "1"]),
        ("operators create", &["ada"]),
        ("operators list", &[]),
        ("operators remove", &["ada"]),
        ("policy check", &[&policy]),
        ("policy set", &[&policy, "--to", "robot-1"]),
        ("policy show", &["robot-1"]),
        ("revoke", &["robot-1"]),
        ("ros action list", &[]),
        ("ros interface list", &[]),
        ("ros lifecycle nodes", &[]),
        ("ros node list", &[]),
        ("ros service list", &[]),
        ("ros topic list", &["-t"]),
        ("targets bootstrap", &["robot-1", "--token-file", &at("bootstrap")]),
        ("targets certificates", &["robot-1"]),
        ("targets clear", &["robot-1", "map"]),
        ("targets conflicts", &["robot-1"]),
        ("targets hold", &["robot-1", "audit"]),
        ("targets release", &["robot-1"]),
        ("targets resolve", &["robot-1", "default", "--take", "control"]),
        ("targets labels", &["robot-1", "site=berlin"]),
        ("targets enrol", &["robot-2", "--token-file", &at("token")]),
        ("targets list", &[]),
        ("logout", &[]),
    ];
    for (command, arguments) in commands {
        let words: Vec<&str> = command.split(' ').chain(arguments.iter().copied()).chain(["--output", "json"]).collect();
        let mut program = graph.program(&words);
        program.env("EDGEFLOW_URL", &url).env("EDGEFLOW_TOKEN", "secret").env("XDG_CONFIG_HOME", folder.path());
        let out = run(program).await.ok();
        let document: Result<Value, _> = serde_json::from_str(&out);
        assert!(
            document.as_ref().is_ok_and(|document| document.is_object() || document.is_array()),
            "edgeflow {command}: {document:?}\n{out}"
        );
        assert!(!out.contains("s3cret"), "edgeflow {command} shows a secret");
    }
    assert_eq!(fs::read(folder.path().join("pulled/model.onnx")).unwrap(), MODEL);

    let tried: BTreeSet<String> = commands
        .iter()
        .map(|(command, _)| *command)
        .chain(TEXTS.iter().copied())
        .chain(ELSEWHERE.iter().copied())
        .map(str::to_owned)
        .collect();
    let all: BTreeSet<String> = leaves().await.into_iter().map(|path| path.join(" ")).collect();
    // `lineage` asks by itself, and has commands beside.
    assert_eq!(all.difference(&tried).collect::<Vec<_>>(), Vec::<&String>::new(), "every command is one of these");
    assert_eq!(tried.difference(&all).collect::<Vec<_>>(), ["lineage"]);
}
