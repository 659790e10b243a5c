//! What people and robots do with a control plane, against a real one.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{Server, TOKEN, answer, bundle, bundle_file, drift, evaluation, options, summary};
use edgeflow_server::app::Door;
use edgeflow_wire::{
    AckOutcome, Class, Command, CommandOutcome, CommandStatusBody, EntryBody, FieldWindow, MissionBody, MissionKind, NumberWindow,
    PolicyOutcome, PolicyStatusBody, TopicWindowBody, Version,
};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

#[tokio::test]
async fn a_model_is_registered_deployed_and_attested() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut robot = server.enrol("robot-1").await;
    assert!(robot.desired(&server.app).await.is_none(), "nothing was declared");

    let (status, version) = server.register("label-reader", bundle("v1").text("description", "first")).await;
    assert_eq!(status, StatusCode::CREATED, "{version}");
    assert_eq!((version["version"].as_str(), version["description"].as_str()), (Some("1"), Some("first")));
    assert_eq!(version["onnx"]["inputs"][0]["elem_type"], "float32");
    assert_eq!(version["labels"].as_array().unwrap().len(), 10);
    assert_eq!(version["files"].as_array().unwrap().len(), 3);
    let (status, again) = server.register("label-reader", bundle("v1")).await;
    assert_eq!((status, &again), (StatusCode::OK, &version), "the same bundle is the same version");
    assert_eq!(server.get("/models/label-reader").await["versions"], json!([version]));
    assert_eq!(server.get("/models/label-reader/versions/1").await, version);

    let mut changes = server.app.desired_changes();
    let (status, deployment) = server.deploy("1", &["robot-1", "robot-1"]).await;
    assert_eq!((status, &deployment["state"]), (StatusCode::CREATED, &json!("progressing")), "{deployment}");
    assert_eq!(changes.recv().await.unwrap(), robot.id);
    let desired = robot.desired(&server.app).await.unwrap();
    assert_eq!((desired.version.server_epoch, desired.version.generation), (1, 1));
    assert_eq!(json!(desired.slots["default"].digest), version["digest"]);
    assert_eq!(
        server.get("/targets/robot-1").await["conditions"],
        json!({ "ready": false, "progressing": true, "degraded": false, "drifted": false })
    );

    server.app.robot_connected(&robot.id, Door::Mqtt).await;
    assert_eq!(robot.hello(&server.app).await.outcome, AckOutcome::Accepted);
    robot.converge(&server.app).await;
    let path = format!("/deployments/{}", deployment["id"].as_str().unwrap());
    let deployment = server.get(&path).await;
    assert_eq!((&deployment["state"], &deployment["targets"][0]["status"]), (&json!("succeeded"), &json!("active")), "{deployment}");
    assert_eq!(server.get("/deployments").await["items"], json!([deployment]));

    let digest = version["digest"].as_str().unwrap();
    let lineage = server.get("/targets/robot-1/lineage").await;
    let [interval] = &lineage["intervals"].as_array().unwrap()[..] else { panic!("{lineage}") };
    assert_eq!((&interval["digest"], &interval["model"], &interval["to_us"]), (&version["digest"], &json!("label-reader"), &Value::Null));
    let from_us = interval["from_us"].as_i64().unwrap();
    assert_eq!(server.get(&format!("/targets/robot-1/lineage?at_us={from_us}")).await["intervals"], json!([interval]));
    assert_eq!(server.get(&format!("/targets/robot-1/lineage?at_us={}", from_us - 1)).await["intervals"], json!([]));
    let robots = server.get(&format!("/lineage/robots?digest={digest}")).await;
    assert_eq!(
        (&robots["items"][0]["target"], &robots["items"][0]["now"], &robots["next"]),
        (&json!("robot-1"), &json!(true), &Value::Null)
    );
    let numbers = vec![evaluation(digest, 0.96), summary(19.5), drift(1, false), drift(2, true)];
    robot.say(&server.app, Class::Summary, numbers).await;
    let target = server.get("/targets/robot-1").await;
    assert_eq!(target["slots"]["default"]["digest"], version["digest"]);
    assert_eq!(target["observed"]["generation"], 1);
    assert_eq!(target["conditions"], json!({ "ready": true, "progressing": false, "degraded": false, "drifted": true }));
    assert_eq!((&target["online"], &target["fps"], &target["latency_p95_us"]), (&json!(true), &json!(19.5), &json!(1500)));
    assert_eq!((&target["accuracy"]["accuracy"], &target["drift"]["max_psi"]), (&json!(0.96), &json!("Infinity")));
    assert_eq!(server.get("/targets").await["items"], json!([target]));

    let fleet = server.get("/drift").await;
    assert_eq!((&fleet["items"][0]["flagged"], &fleet["items"][0]["features"][0]["name"]), (&json!(true), &json!("brightness")));
    let reports = server.get("/targets/robot-1/drift?limit=1").await;
    assert_eq!((reports["reports"].as_array().unwrap().len(), &reports["reports"][0]["window"]), (1, &json!(2)));
    let series = server.get("/targets/robot-1/telemetry?channel=accuracy").await;
    assert_eq!((&series["unit"], &series["points"][0][1]), (&json!("1"), &json!(0.96)));
    assert!(server.get("/targets/robot-1/telemetry/channels").await["channels"].as_array().unwrap().contains(&json!("brightness")));

    let events = server.get("/events?target=robot-1&limit=2").await;
    let titles: Vec<&str> = events["items"].as_array().unwrap().iter().map(|event| event["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["runs label-reader 1 in default", "label-reader 1 active"]);
    let rest = server.get(&format!("/events?after={}", events["next"].as_str().unwrap())).await;
    assert_eq!((rest["items"][0]["title"].as_str(), &rest["next"]), (Some("downloading label-reader 1"), &json!(null)));
    let filtered = async |query: &str| {
        let events = server.get(&format!("/events?{query}")).await;
        events["items"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(filtered("notable=true").await, ["deployment_status"; 2], "reports of state are routine");
    assert_eq!(filtered("notable=true&target=robot-1&kind=state").await, [""; 0]);
    assert_eq!(filtered("kind=state,fault").await, ["state"]);
    assert_eq!(filtered("kind=rollout").await, [""; 0]);

    let log = server.get("/targets/robot-1/log").await;
    assert_eq!(log["entries"], json!({ "stored": 7, "duplicated": 0, "missing": 0, "lost_recorded": 0, "removed": 0 }));
    let entries = server.get("/targets/robot-1/entries?class=critical&order=asc").await;
    let seqs: Vec<u64> = entries["items"].as_array().unwrap().iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2]);

    let audit = server.get("/audit").await;
    let acts: Vec<&str> = audit["items"].as_array().unwrap().iter().map(|act| act["action"].as_str().unwrap()).collect();
    assert_eq!(acts, ["deploy", "write_model", "enrol_target"]);
    server.app.robot_disconnected(&robot.id, Door::Mqtt).await;
    assert_eq!(server.get("/targets/robot-1").await["online"], json!(false));
    server.stop().await;
}

#[tokio::test]
async fn a_restarted_server_remembers_everything_and_a_restored_one_goes_on_above() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut robot = server.enrol("robot-1").await;
    server.register("label-reader", bundle("v1")).await;
    server.deploy("1", &["robot-1"]).await;
    robot.converge(&server.app).await;
    let before = (
        server.get("/targets").await,
        server.get("/deployments").await,
        server.get("/models").await,
        server.get("/targets/robot-1/log").await,
    );
    server.stop().await;

    let server = Server::start(options(&folder)).await;
    let after = (
        server.get("/targets").await,
        server.get("/deployments").await,
        server.get("/models").await,
        server.get("/targets/robot-1/log").await,
    );
    assert_eq!(before, after);
    assert_eq!(server.app.authenticate_robot("robot-1", &robot.token).await, Some(robot.id.clone()));
    let next = robot.hello(&server.app).await.next;
    assert_eq!(next.iter().map(|ack| ack.next_seq).collect::<Vec<_>>(), [3, 2, 1, 1], "it says where it stands");
    let file = after.2["items"][0]["versions"][0]["files"][2]["sha256"].as_str().unwrap().to_owned();
    let bytes = server.request(Method::GET, &format!("/artifacts/{file}")).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, bundle_file("v1", "model.onnx"));
    server.stop().await;

    let restored = edgeflow_server::app::AppOptions { restored: true, ..options(&folder) };
    let server = Server::start(restored).await;
    assert_eq!(server.get("/server").await["server_epoch"], 2);
    let version = robot.desired(&server.app).await.unwrap().version;
    assert_eq!((version.server_epoch, version.generation), (2, 1));
    server.stop().await;
}

#[tokio::test]
async fn a_policy_is_declared_acknowledged_and_its_windows_are_series() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut robot = server.enrol("robot-1").await;
    let put = |document: Value| {
        let request = server.request(Method::PUT, "/targets/robot-1/policy").json(&document);
        async move { answer(request).await }
    };
    assert_eq!(server.get("/targets/robot-1/policy").await, json!({ "target": "robot-1", "version": 0, "document": {}, "status": null }));
    let route = json!({ "name": "odom", "allow": ["odom"], "fields": ["twist.twist.linear.x"], "window": { "period_s": 60 } });
    let document = json!({ "routes": [route] });
    let (status, error) =
        put(json!({ "routes": [{ "name": "odom", "allow": ["odom"], "fields": [], "window": { "period_s": 1 } }] })).await;
    assert_eq!(
        (status, error["error"]["message"].as_str()),
        (StatusCode::BAD_REQUEST, Some("bad policy: routes[0].fields: name 1 to 50 fields"))
    );
    let trigger = |when: &str| {
        let watch = json!({"battery": {"topic": "battery", "type": "sensor_msgs/msg/BatteryState"}});
        json!({ "triggers": [{ "name": "weak", "when": when, "watch": watch }] })
    };
    for (when, reason) in
        [("battery.percentage <", "column"), ("volts < 3", "no variable"), ("battery.percentage + 'a' == 2", "does not go with")]
    {
        let (status, error) = put(trigger(when)).await;
        let message = error["error"]["message"].as_str().unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(message.starts_with("bad policy: triggers[0].when: ") && message.contains(reason), "{message}");
    }
    assert!(robot.desired(&server.app).await.is_none(), "a refused policy changes nothing");

    let mut changes = server.app.desired_changes();
    let (status, view) = put(document.clone()).await;
    assert_eq!((status, &view["version"], &view["status"]), (StatusCode::OK, &json!(1), &json!(null)));
    assert_eq!(changes.recv().await.unwrap(), robot.id);
    let desired = robot.desired(&server.app).await.unwrap();
    assert_eq!((desired.version.generation, desired.policy.unwrap().document), (1, document.clone()));
    assert_eq!(put(document.clone()).await.1["version"], json!(1), "the same again is no change");

    let acknowledgement = PolicyStatusBody { version: 1, outcome: PolicyOutcome::Applied, reason: String::new(), ruling: 1 };
    robot.say(&server.app, Class::Critical, vec![EntryBody::PolicyStatus(acknowledgement)]).await;
    assert_eq!(server.get("/targets/robot-1/policy").await["status"]["outcome"], "applied");
    assert_eq!(server.get("/targets/robot-1").await["policy"]["status"]["ruling"], 1);
    assert_eq!(server.get("/events").await["items"][0]["title"], "telemetry policy 1 applied");
    let numbers = NumberWindow { count: 4, not_finite: 0, min: 0.0, max: 2.0, mean: 0.5, p50: 0.25, p95: 2.0, last: 1.0 };
    let window = TopicWindowBody {
        route: "odom".into(),
        topic: "/robot_1/odom".into(),
        policy: 1,
        start_us: 1_000_000,
        end_us: 2_000_000,
        messages: 4,
        fields: [("twist.twist.linear.x".to_owned(), FieldWindow::Number(numbers))].into(),
    };
    robot.say(&server.app, Class::Summary, vec![EntryBody::TopicWindow(window)]).await;
    let series = server.get("/targets/robot-1/telemetry?channel=/robot_1/odom:twist.twist.linear.x:mean").await;
    assert_eq!(series["points"], json!([[2_000_000, 0.5]]));
    let entries = server.get("/targets/robot-1/entries?kind=topic_window").await;
    assert_eq!(entries["items"][0]["body"]["fields"]["twist.twist.linear.x"]["p95"], 2.0);

    let as_robot = server.anonymous(Method::PUT, "/api/v1/targets/robot-1/policy").bearer_auth(&robot.token).json(&document);
    assert_eq!(answer(as_robot).await.0, StatusCode::FORBIDDEN);
    let (status, _) = answer(server.request(Method::PUT, "/targets/ghost/policy").json(&document)).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(server.get("/audit").await["items"][1]["action"], "set_policy");
    server.stop().await;
}

#[tokio::test]
async fn a_command_is_given_delivered_and_ended_by_the_robots_word() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut robot = server.enrol("robot-1").await;
    server.enrol("robot-2").await;
    let action = json!({ "kind": "call_service", "service": "reset", "type": "std_srvs/srv/Trigger" });
    let mut changes = server.app.desired_changes();
    let (status, command) = server.post("/targets/robot-1/commands", json!({ "action": action, "expires_s": 30 })).await;
    assert_eq!((status, &command["state"], &command["action"]), (StatusCode::CREATED, &json!("pending"), &action), "{command}");
    assert_eq!(changes.recv().await.unwrap(), robot.id);
    let id = command["id"].as_str().unwrap().to_owned();

    let delivered = server.app.command_envelopes(&robot.id, 0).await.unwrap();
    let document: Command = serde_json::from_str(&delivered[0].1.payload).unwrap();
    assert_eq!((delivered.len(), &document.id, document.target.as_str()), (1, &id, "robot-1"));
    assert_eq!(document.expires_us - document.issued_us, 30_000_000);
    let news = server.app.news(&robot.id, Some(Version::default()), Some(0)).await.unwrap().unwrap();
    assert!(news.desired.is_none() && news.commands == [delivered[0].1.clone()] && news.commands_upto == delivered[0].0, "{news:?}");
    assert_eq!(server.app.news(&robot.id, Some(Version::default()), Some(news.commands_upto)).await.unwrap(), None);
    assert_eq!(server.app.news(&robot.id, Some(Version::default()), None).await.unwrap(), None, "a robot that takes none");

    let word = CommandStatusBody {
        id: id.clone(),
        outcome: CommandOutcome::Failed,
        message: "jammed".into(),
        result: json!({ "success": false }),
    };
    robot.say(&server.app, Class::Critical, vec![EntryBody::CommandStatus(word)]).await;
    let path = format!("/targets/robot-1/commands/{id}");
    let command = server.get(&path).await;
    assert_eq!(
        (&command["state"], &command["message"], &command["result"]["success"]),
        (&json!("failed"), &json!("jammed"), &json!(false))
    );
    assert_eq!(server.get("/targets/robot-1/commands").await["items"], json!([command]));
    assert!(server.app.command_envelopes(&robot.id, 0).await.unwrap().is_empty(), "it is settled");
    assert_eq!(answer(server.request(Method::GET, &format!("/targets/robot-2/commands/{id}"))).await.0, StatusCode::NOT_FOUND);

    for (body, reason) in [
        (json!({ "action": { "kind": "dance" } }), "unknown variant `dance`"),
        (json!({ "action": { "kind": "pause", "for_s": -1 } }), "0 to 86400"),
        (json!({ "action": { "kind": "resume" }, "expires_s": 0 }), "expires_s"),
    ] {
        let (status, error) = server.post("/targets/robot-1/commands", body).await;
        assert!(status == StatusCode::BAD_REQUEST && error["error"]["message"].as_str().unwrap().contains(reason), "{error}");
    }
    let as_robot =
        server.anonymous(Method::POST, "/api/v1/targets/robot-1/commands").bearer_auth(&robot.token).json(&json!({ "action": action }));
    assert_eq!(answer(as_robot).await.0, StatusCode::FORBIDDEN);
    let audit = server.get("/audit").await;
    let act = audit["items"].as_array().unwrap().iter().find(|act| act["action"] == "command" && act["outcome"] == "done").unwrap();
    assert_eq!((&act["resource"], &act["detail"]["id"]), (&json!("target/robot-1"), &json!(id)));
    server.stop().await;
}

#[tokio::test]
async fn a_second_deployment_supersedes_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut near = server.enrol("robot-1").await;
    let far = server.enrol("robot-2").await;
    server.register("label-reader", bundle("v1")).await;
    server.register("label-reader", bundle("v2")).await;
    let (_, first) = server.deploy("1", &["robot-1", "robot-2"]).await;
    near.converge(&server.app).await;
    server.deploy("2", &["robot-1", "robot-2"]).await;
    assert_eq!(far.desired(&server.app).await.unwrap().version.generation, 2, "it never sees the one between");
    let first = server.get(&format!("/deployments/{}", first["id"].as_str().unwrap())).await;
    assert_eq!(first["state"], "superseded");
    let status = |at: usize| first["targets"][at]["status"].as_str().unwrap();
    assert_eq!((status(0), status(1)), ("active", "superseded"), "what was reached stays true");
    server.stop().await;
}

#[tokio::test]
async fn a_robots_token_fetches_artifacts_and_itself_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let robot = server.enrol("robot-1").await;
    server.enrol("robot-2").await;
    let (_, version) = server.register("label-reader", bundle("v1")).await;
    let file = &version["files"][2];
    let model = bundle_file("v1", "model.onnx");
    let artifact = format!("/api/v1/artifacts/{}", file["sha256"].as_str().unwrap());
    let as_robot = |method: Method, path: &str| server.anonymous(method, path).bearer_auth(&robot.token);

    let whole = as_robot(Method::GET, &artifact).send().await.unwrap();
    assert_eq!(
        (whole.status(), whole.headers()[header::CONTENT_LENGTH].to_str().unwrap()),
        (StatusCode::OK, model.len().to_string().as_str())
    );
    assert_eq!(whole.bytes().await.unwrap(), model);
    let rest = as_robot(Method::GET, &artifact).header(header::RANGE, "bytes=100-").send().await.unwrap();
    let range = format!("bytes 100-{}/{}", model.len() - 1, model.len());
    assert_eq!((rest.status(), rest.headers()[header::CONTENT_RANGE].to_str().unwrap()), (StatusCode::PARTIAL_CONTENT, range.as_str()));
    assert_eq!(rest.bytes().await.unwrap(), model[100..]);
    let beyond = as_robot(Method::GET, &artifact).header(header::RANGE, format!("bytes={}-", model.len()));
    assert_eq!(answer(beyond).await.0, StatusCode::RANGE_NOT_SATISFIABLE);

    assert_eq!(answer(as_robot(Method::GET, "/api/v1/targets/robot-1")).await.0, StatusCode::OK);
    for (method, path) in [
        (Method::GET, "/api/v1/targets/robot-2"),
        (Method::GET, "/api/v1/targets"),
        (Method::GET, "/api/v1/models"),
        (Method::GET, "/api/v1/deployments"),
        (Method::GET, "/api/v1/events"),
        (Method::GET, "/api/v1/stream"),
        (Method::GET, "/api/v1/audit"),
        (Method::GET, "/api/v1/server"),
        (Method::DELETE, "/api/v1/targets/robot-1"),
    ] {
        let (status, body) = answer(as_robot(method.clone(), path)).await;
        assert_eq!((status, &body["error"]["code"]), (StatusCode::FORBIDDEN, &json!("denied")), "{method} {path}");
    }
    let denied = server.get("/audit").await;
    assert!(denied["items"].as_array().unwrap().iter().any(|act| act["outcome"] == "denied" && act["who"] == "robot:robot-1"));

    let mut revocations = server.app.revocations();
    assert_eq!(server.request(Method::DELETE, "/targets/robot-1").send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(revocations.recv().await.unwrap(), robot.id);
    assert_eq!(answer(as_robot(Method::GET, &artifact)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(server.app.authenticate_robot("robot-1", &robot.token).await, None);
    assert_eq!(server.app.authenticate_robot("robot-2", &robot.token).await, None, "a token is for one name");
    let again = server.enrol("robot-1").await;
    assert_ne!(again.token, robot.token);
    server.stop().await;
}

#[tokio::test]
async fn a_watcher_sees_changes_as_they_happen() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut robot = server.enrol("robot-1").await;
    let mut stream = server.request(Method::GET, "/stream").send().await.unwrap();
    assert_eq!(stream.headers()[header::CONTENT_TYPE], "text/event-stream");
    server.register("label-reader", bundle("v1")).await;
    server.deploy("1", &["robot-1"]).await;
    robot.converge(&server.app).await;
    robot.say(&server.app, Class::Summary, vec![drift(1, true)]).await;
    let mission = MissionBody { sequence: 1, mission_id: "m7".into(), step: MissionKind::Failed, progress: 0.5, detail: "lost".into() };
    robot.say(&server.app, Class::Event, vec![EntryBody::Mission(mission)]).await;
    let mut text = String::new();
    let wanted = [
        "event: model",
        "event: deployment",
        "\"state\":\"succeeded\"",
        "event: target",
        "\"ready\":false",
        "event: drift",
        "mission m7 failed: lost",
    ];
    while !wanted.iter().all(|piece| text.contains(piece)) {
        let chunk = tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await;
        let chunk = chunk.unwrap_or_else(|_| panic!("nothing more came after\n{text}")).unwrap().unwrap();
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let metrics = server.anonymous(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    for line in [
        "edgeflow_stream_watchers 1",
        "edgeflow_ingested_entries_total{class=\"critical\"} 2",
        "route=\"/api/v1/models/{model}/versions\",status=\"201\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    server.stop().await;
    while let Ok(Some(_)) = stream.chunk().await {}
}

#[tokio::test]
async fn what_somebody_asked_for_is_told_and_on_record_though_they_did_not_wait() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    server.enrol("robot-1").await;
    server.register("label-reader", bundle("v1")).await;
    let mut told = server.app.desired_changes();
    // Nothing can be written meanwhile.
    let database = rusqlite::Connection::open(folder.path().join("fleet.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut line = TcpStream::connect(server.base.trim_start_matches("http://")).await.unwrap();
    let body = json!({ "model": "label-reader", "version": "1", "targets": ["robot-1"] }).to_string();
    let (host, length) = (&server.base[7..], body.len());
    let head = format!(
        "POST /api/v1/deployments HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
    );
    line.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 25];
    line.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, *b"HTTP/1.1 100 Continue\r\n\r\n", "somebody looks at it");
    line.write_all(body.as_bytes()).await.unwrap();
    line.shutdown().await.unwrap();
    let rest = tokio::time::timeout(Duration::from_secs(20), line.read_to_end(&mut Vec::new())).await;
    assert_eq!(rest.expect("nobody keeps the line").unwrap(), 0, "there is no answer any more");
    drop(database);
    let robot = tokio::time::timeout(Duration::from_secs(20), told.recv()).await.expect("the robot is told").unwrap();
    assert_eq!(robot.as_str(), "robot-1");
    let on_record = async {
        while !server.get("/audit").await["items"].as_array().unwrap().iter().any(|act| act["action"] == "deploy") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), on_record).await.expect("it is on record");
    server.stop().await;
}

#[tokio::test]
async fn pages_and_answers_carry_what_keeps_browsers_honest() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let page = server.anonymous(Method::GET, "/").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    for name in ["content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy", "cross-origin-opener-policy"] {
        assert!(page.headers().contains_key(name), "{name}");
    }
    assert!(page.text().await.unwrap().contains("Edgeflow"));
    assert_eq!(server.request(Method::GET, "/server").send().await.unwrap().headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(answer(server.anonymous(Method::GET, "/healthz")).await, (StatusCode::OK, json!({ "status": "ok" })));
    server.stop().await;
}
