//! The fleet as code from a terminal: files with mistakes, and a control plane that keeps the contract.

use axum::{
    Json, Router,
    extract::{Path as At, State},
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use crate::support::{Ran, program, run};

type Answer = (StatusCode, Json<Value>);
type Asked = Arc<Mutex<Vec<Value>>>;

fn head(revision: i64, state: &str) -> Value {
    json!({ "revision": revision, "based_on": 3, "state": state, "message": "why", "digest": "d", "created_at_us": 1_700_000_000_000_000_i64,
        "created_by": "operator:ada", "decided_by": null, "decided_at_us": null, "reason": "", "robots": 2 })
}

fn planned() -> Value {
    json!({ "revision": 3, "digest": "d", "review": "required",
        "changes": [{ "path": "slots.reader.release.version", "before": "1", "after": "2" }, { "path": "groups.berlin", "before": null, "after": {} }],
        "robots": [
            { "target": "robot-1", "labels": [{ "key": "zone", "before": null, "after": "a" }], "policy": { "declaration": "policies.quiet", "how": "at once" },
              "slots": [{ "slot": "default", "declaration": "slots.reader", "before": "reader/1", "after": "reader/2", "how": "by rollout careful" }] },
            { "target": "robot-2", "labels": [], "slots": [{ "slot": "map", "declaration": "slots.map", "before": null, "after": "hall/1", "how": "at once" }], "policy": null },
        ],
        "rollouts": [{ "declaration": "slots.reader", "slot": "default", "release": "reader/2", "rollout": "careful", "robots": 1,
            "stages": [{ "name": "canary", "robots": 1 }] }],
        "under_way": [{ "declaration": "slots.map", "rollout": "6", "robots": 4 }],
        "lacking": [{ "declaration": "slots.map", "reason": "it has no slot map of kind map", "robots": ["robot-7", "robot-8"] }], "not_enrolled": ["robot-9"] })
}

async fn apply(State(asked): State<Asked>, Json(body): Json<Value>) -> Answer {
    let based_on = body["based_on"].clone();
    asked.lock().unwrap().push(body);
    if based_on != 3 {
        let message = "it was planned against revision 2 of the fleet, and 3 stands by now: plan again";
        return (StatusCode::CONFLICT, Json(json!({ "error": { "code": "conflict", "message": message } })));
    }
    (StatusCode::CREATED, Json(head(4, "proposed")))
}

async fn start() -> (String, Asked) {
    let asked = Asked::default();
    let spec = json!({ "groups": { "berlin": { "names": ["robot-1"] } }, "review": "required" });
    let fleet = json!({ "revision": 3, "spec": spec, "applied": head(3, "applied"), "proposals": [head(4, "proposed")], "groups": { "berlin": ["robot-1"] } });
    let export = json!({ "revision": 3, "spec": spec });
    let routes = Router::new()
        .route("/api/v1/fleet", get(move || async move { Json(fleet) }))
        .route("/api/v1/fleet/export", get(move || async move { Json(export) }))
        .route(
            "/api/v1/fleet/plan",
            post(async |State(asked): State<Asked>, Json(body): Json<Value>| {
                asked.lock().unwrap().push(body);
                Json(planned())
            }),
        )
        .route("/api/v1/fleet/apply", post(apply))
        .route("/api/v1/fleet/revisions", get(async || Json(json!({ "items": [head(4, "proposed"), head(3, "applied")], "next": null }))))
        .route(
            "/api/v1/fleet/revisions/{revision}/{act}",
            post(async |State(asked): State<Asked>, At((revision, act)): At<(i64, String)>, Json(body): Json<Value>| {
                asked.lock().unwrap().push(json!({ "act": act, "body": body }));
                Json(head(revision, if act == "reject" { "rejected" } else { "applied" }))
            }),
        )
        .with_state(asked.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, asked)
}

async fn edgeflow(url: &str, arguments: &[&str]) -> Ran {
    let mut command = program(arguments);
    command.env("EDGEFLOW_URL", url).env("EDGEFLOW_TOKEN", "secret");
    run(command).await
}

#[tokio::test]
async fn a_folder_is_read_as_one_planned_shown_and_applied() {
    let (url, asked) = start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sites")).unwrap();
    fs::write(at("sites/berlin.yml"), "groups:\n  berlin: {labels: {site: [berlin]}}\n---\nlabels: {robot-1: {zone: a}}\n").unwrap();
    fs::write(at("slots.yaml"), "slots:\n  reader: {release: {name: reader, version: 2}, targets: {groups: [berlin]}}\n").unwrap();
    fs::write(at("notes.txt"), "no: [yaml").unwrap();
    let files = folder.path().display().to_string();

    let shown = edgeflow(&url, &["plan", "-f", &files]).await.ok();
    for line in [
        "revision 3 stands",
        "~ slots.reader.release.version  \"1\" -> \"2\"",
        "+ groups.berlin  {}",
        "robots that change: 2",
        "rollout careful brings reader/2 to 1 robot for slots.reader: canary 1",
        "rollout 6 is under way for slots.map: 4 robots on the way",
        "slots.map is not given to robot-7, robot-8: it has no slot map of kind map",
        "robot-9",
        "a second person must approve",
    ] {
        assert!(shown.contains(line), "{line:?} is not in\n{shown}");
    }
    let row = shown.lines().find(|line| line.contains("slot default")).unwrap();
    assert_eq!(
        row.split_whitespace().collect::<Vec<_>>(),
        ["robot-1", "slot", "default", "reader/1", "reader/2", "by", "rollout", "careful", "slots.reader"]
    );
    let sent = asked.lock().unwrap()[0]["spec"].clone();
    assert_eq!((&sent["slots"]["reader"]["release"]["version"], &sent["labels"]["robot-1"]["zone"]), (&json!("2"), &json!("a")));

    let unasked = edgeflow(&url, &["apply", "-f", &files, "--output", "json"]).await.failed();
    assert!(unasked.contains("not confirmed") && unasked.contains("--yes"), "{unasked}");
    let applied = edgeflow(&url, &["apply", "-f", &files, "-m", "for Berlin", "--yes"]).await.ok();
    assert!(
        applied.contains("revision 4 is proposed (2 robots change): somebody else approves it with `edgeflow fleet approve 4`"),
        "{applied}"
    );
    let sent = asked.lock().unwrap().last().unwrap().clone();
    assert_eq!((&sent["message"], &sent["based_on"]), (&json!("for Berlin"), &json!(3)));
    let stale = edgeflow(&url, &["apply", "-f", &files, "--yes", "--based-on", "2", "--output", "json"]).await.failed();
    assert!(stale.contains("3 stands by now: plan again"), "{stale}");
    let diff = edgeflow(&url, &["diff", "-f", &files]).await.ok();
    assert!(diff.contains("- review  \"required\"") && diff.contains("+ slots.reader") && diff.contains("- groups.berlin.names"), "{diff}");
}

#[tokio::test]
async fn mistakes_are_told_with_file_line_column_and_the_nearest_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.yaml");
    let named = file.display().to_string();
    let refused = async |text: &str| {
        fs::write(&file, text).unwrap();
        let ran = run(program(&["fleet", "check", "-f", &named])).await;
        assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
        ran.err.replace(&named, "fleet.yaml")
    };
    let told = refused("groups:\n  berlin:\n    labls: {}\n").await;
    assert_eq!(
        told,
        "edgeflow: fleet.yaml:3:5: groups.berlin: unknown key \"labls\"; did you mean \"labels\"? (there are names, labels, exclude)\n"
    );
    let told = refused("slots:\n  reader:\n    release: {name: reader, version: 1}\n    rollout: carful\nrollouts: {careful: {}}\n").await;
    assert_eq!(told, "edgeflow: fleet.yaml:4:5: slots.reader.rollout: there is no rollout \"carful\"; did you mean \"careful\"?\n");
    let told = refused("rollouts:\n  careful:\n    strategy:\n      max_unavailable: 30 %%\n").await;
    assert!(told.contains("fleet.yaml:4:") && told.contains("30 %%"), "{told}");
}

#[tokio::test]
async fn revisions_are_listed_reviewed_and_written_as_files() {
    let (url, asked) = start().await;
    let log = edgeflow(&url, &["fleet", "log"]).await.ok();
    assert!(log.lines().nth(1).unwrap().starts_with("4         proposed  2023-11-14"), "{log}");
    let status = edgeflow(&url, &["fleet", "status"]).await.ok();
    assert!(
        status.contains("revision 3, applied") && status.contains("group berlin: 1 robot") && status.contains("revision 4, proposed"),
        "{status}"
    );
    assert!(edgeflow(&url, &["fleet", "approve", "4", "--reason", "seen"]).await.ok().contains("revision 4 stands"));
    assert!(edgeflow(&url, &["fleet", "reject", "4"]).await.ok().contains("revision 4 is rejected"));
    edgeflow(&url, &["fleet", "revert", "2", "-m", "too early"]).await.ok();
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked[0], json!({ "act": "approve", "body": { "reason": "seen" } }));
    assert_eq!(asked[2], json!({ "act": "revert", "body": { "reason": "too early" } }));

    let text = edgeflow(&url, &["export"]).await.ok();
    assert!(
        text.starts_with("# yaml-language-server: $schema=fleet.schema.json\n# Revision 3 of the fleet.\nreview: required\n"),
        "{text}"
    );
    let folder = tempfile::tempdir().unwrap();
    let files = folder.path().join("fleet");
    edgeflow(&url, &["export", "-f", &files.display().to_string()]).await.ok();
    assert_eq!(fs::read_to_string(files.join("fleet.yaml")).unwrap(), text);
    let schema: Value = serde_json::from_str(&fs::read_to_string(files.join("fleet.schema.json")).unwrap()).unwrap();
    assert!(schema["properties"]["slots"].is_object(), "{schema}");
    assert_eq!(schema, serde_json::from_str::<Value>(&run(program(&["fleet", "schema"])).await.ok()).unwrap());
    let checked = run(program(&["fleet", "check", "-f", &files.display().to_string()])).await.ok();
    assert_eq!(checked, "it is a declaration of 1 groups\n", "what was written is read");
    assert!(
        edgeflow(&url, &["export", "-f", &files.display().to_string()]).await.failed().contains("could not write"),
        "it overwrites nothing"
    );
}

#[tokio::test]
async fn the_example_of_the_guide_is_a_declaration() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/fleet-as-code.md");
    let text = fs::read_to_string(guide).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (number, block) in text.split("```yaml\n").skip(1).enumerate() {
        fs::write(folder.path().join(format!("{number}.yaml")), block.split("```").next().unwrap()).unwrap();
    }
    let checked = run(program(&["fleet", "check", "-f", &folder.path().display().to_string()])).await.ok();
    assert_eq!(checked, "it is a declaration of 2 groups, 2 labels, 2 slots, 1 policies, 1 configuration, 2 rollouts, 3 gates\n");
}
