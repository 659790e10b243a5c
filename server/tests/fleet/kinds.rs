//! Maps, software and configuration in a declaration: bundles that are really registered, and robots that say which slots they have.

use edgeflow_server::app::Door;
use edgeflow_wire::{Class, DeploymentStatusBody, EntryBody, ObservedState, SlotKind, SlotState, SlotStatus, StateBody, Version};
use reqwest::{
    Method, StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use crate::{
    common::{Robot, Server, answer, bundle, options},
    declare::{apply, changed, plan},
};

/// The slots of a robot that has one of each kind.
const ALL: [(&str, SlotKind); 4] =
    [("default", SlotKind::Model), ("map", SlotKind::Map), ("stack", SlotKind::Package), ("tuning", SlotKind::Config)];
const LACKS: &str = "it has no slot map of kind map: declare it in its bridge's slots_file, or update its bridge";

/// Registers files as a version of a kind.
async fn push(server: &Server, kind: &str, name: &str, files: &[(&'static str, &str)]) {
    let file = |content: &str| Part::bytes(content.as_bytes().to_vec());
    let form = files.iter().fold(Form::new(), |form, (name, content)| form.part(*name, file(content).file_name(*name)));
    let (status, made) = answer(server.request(Method::POST, &format!("/models/{name}/versions?kind={kind}")).multipart(form)).await;
    assert_eq!((status, &made["kind"]), (StatusCode::CREATED, &json!(kind)), "{made}");
}

/// Versions 1 and 2 of a map, and one each of the others; `robot-1` to `robot-3`.
async fn started(folder: &tempfile::TempDir) -> (Server, [Robot; 3]) {
    let server = Server::start(options(folder)).await;
    for level in ["0", "9"] {
        push(&server, "map", "hall", &[("hall.pgm", "P2 1 1 255 "), ("hall.yaml", &format!("image: hall.pgm\nlevel: {level}\n"))]).await;
    }
    push(&server, "package", "nav-stack", &[("nav-stack.deb", "an archive")]).await;
    push(&server, "config", "nav-params", &[("nav.yaml", "max_speed: 1.0\n")]).await;
    assert_eq!(server.register("label-reader", bundle("v1")).await.0, StatusCode::CREATED);
    let alias = answer(server.request(Method::PUT, "/models/nav-stack/aliases/stable").json(&json!({ "version": "1" }))).await;
    assert!(alias.0.is_success(), "{alias:?}");
    let robots = [server.enrol("robot-1").await, server.enrol("robot-2").await, server.enrol("robot-3").await];
    (server, robots)
}

fn spec(map: &str, way: Option<&str>) -> Value {
    json!({
        "slots": {
            "reader": { "release": { "name": "label-reader", "version": "1" } },
            "hall": { "slot": "map", "release": { "kind": "map", "name": "hall", "version": map }, "rollout": way },
            "stack": { "slot": "stack", "release": { "kind": "package", "name": "nav-stack", "alias": "stable" } },
        },
        "configuration": { "tuning": { "slot": "tuning", "name": "nav-params", "version": "1" } },
        "rollouts": { "careful": { "strategy": { "stages": [{ "name": "canary", "names": ["robot-1"] }, { "name": "all", "rest": true }] } } },
    })
}

async fn applied(server: &Server, spec: &Value, based_on: i64) -> Value {
    let (status, head) = apply(server, spec, based_on).await;
    assert_eq!(status, StatusCode::CREATED, "{head}");
    head
}

/// A robot that has these slots says so, and that it has brought about what is declared for them.
async fn says(server: &Server, robot: &mut Robot, has: &[(&str, SlotKind)]) {
    let desired = robot.desired(&server.app).await;
    let version = desired.as_ref().map(|desired| desired.version).unwrap_or_default();
    let declared = desired.map(|desired| desired.slots).unwrap_or_default();
    let mut slots: BTreeMap<String, SlotState> = BTreeMap::new();
    for (slot, kind) in has {
        let mut now = SlotState { kind: *kind, ..SlotState::default() };
        if let Some(spec) = declared.get(*slot) {
            assert_eq!(spec.kind, *kind);
            now = SlotState { status: SlotStatus::Active, model: spec.model.clone(), version: spec.version.clone(), ..now };
            now.digest.clone_from(&spec.digest);
            let step = DeploymentStatusBody {
                for_version: version,
                slot: (*slot).to_owned(),
                kind: *kind,
                status: SlotStatus::Active,
                model: spec.model.clone(),
                model_version: spec.version.clone(),
                digest: spec.digest.clone(),
                running_digest: spec.digest.clone(),
                ..DeploymentStatusBody::default()
            };
            robot.say(&server.app, Class::Critical, vec![EntryBody::DeploymentStatus(step)]).await;
        }
        slots.insert((*slot).to_owned(), now);
    }
    let state = StateBody { observed: ObservedState { version }, slots, software: "0.1.0".into(), ..StateBody::default() };
    robot.say(&server.app, Class::Event, vec![EntryBody::State(state)]).await;
}

/// An older bridge: it takes up no document with a kind it does not know, and says what it has.
async fn refuses(server: &Server, robot: &mut Robot) {
    let slots = [("default".to_owned(), SlotState::default())].into();
    let state =
        StateBody { observed: ObservedState { version: Version::default() }, slots, software: "0.0.9".into(), ..StateBody::default() };
    robot.say(&server.app, Class::Event, vec![EntryBody::State(state)]).await;
}

#[tokio::test]
async fn robots_are_given_what_they_have_slots_for_and_the_plan_names_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (server, [mut one, mut two, mut three]) = started(&folder).await;
    says(&server, &mut one, &ALL).await;
    says(&server, &mut two, &ALL[..1]).await;

    let mut wrong = spec("1", None);
    wrong["slots"]["hall"]["release"]["kind"] = json!("package");
    let (status, refused) = server.post("/fleet/plan", json!({ "spec": wrong })).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        refused.to_string().contains("slots.hall.release: ") && refused.to_string().contains("hall 1 is a map, not a package"),
        "{refused}"
    );

    let first = plan(&server, &spec("1", None)).await;
    assert_eq!(changed(&first), ["robot-1", "robot-2", "robot-3"], "{first}");
    let given = |robot: usize| -> Vec<(&str, &str)> {
        let slots = first["robots"][robot]["slots"].as_array().unwrap();
        slots.iter().map(|slot| (slot["slot"].as_str().unwrap(), slot["after"].as_str().unwrap())).collect()
    };
    let all = [("map", "hall/1"), ("default", "label-reader/1"), ("stack", "nav-stack/1"), ("tuning", "nav-params/1")];
    assert_eq!((given(0), given(1)), (all.to_vec(), vec![("default", "label-reader/1")]), "{first}");
    assert_eq!(given(2), all, "of one that has said nothing it is not known");
    let lacking: Vec<(&Value, &Value)> =
        first["lacking"].as_array().unwrap().iter().map(|lacking| (&lacking["declaration"], &lacking["robots"])).collect();
    let two_only = json!(["robot-2"]);
    let parts = [json!("slots.hall"), json!("slots.stack"), json!("configuration.tuning")];
    assert_eq!(lacking, parts.iter().map(|part| (part, &two_only)).collect::<Vec<_>>());
    assert_eq!(first["lacking"][0]["reason"], LACKS);

    assert_eq!(applied(&server, &spec("1", None), 0).await["robots"], 3);
    let told = one.desired(&server.app).await.unwrap();
    let kinds: Vec<(&str, SlotKind, usize)> = told.slots.iter().map(|(slot, spec)| (slot.as_str(), spec.kind, spec.files.len())).collect();
    let expected =
        [("default", SlotKind::Model, 3), ("map", SlotKind::Map, 2), ("stack", SlotKind::Package, 1), ("tuning", SlotKind::Config, 1)];
    assert_eq!(kinds, expected);
    assert_eq!(two.desired(&server.app).await.unwrap().slots.len(), 1, "what it cannot have would keep it from the rest");
    for (robot, has) in [(&mut one, &ALL[..]), (&mut two, &ALL[..1])] {
        says(&server, robot, has).await;
        server.app.robot_connected(&robot.id, Door::Http).await;
    }
    let view = server.get("/targets/robot-1").await;
    assert_eq!((&view["conditions"]["ready"], &view["difference"]), (&json!(true), &json!([])), "{view}");
    assert_eq!(view["slots"]["stack"]["kind"], "package");
    let again = plan(&server, &spec("1", None)).await;
    assert_eq!((changed(&again), again["lacking"].as_array().unwrap().len()), (vec![], 3), "nothing more is to be done: {again}");
    let deployments = server.get("/deployments").await;
    let state = |slot: &str| {
        let of = deployments["items"].as_array().unwrap().iter().find(|one| one["slot"] == slot).unwrap();
        (of["state"].clone(), of["targets"].as_array().unwrap().iter().map(|one| one["status"].clone()).collect::<Vec<_>>())
    };
    assert_eq!(state("map"), (json!("progressing"), vec![json!("active"), json!("pending")]), "{deployments}");

    // The third comes at last, and its bridge knows nothing of maps: it is no longer waited for.
    refuses(&server, &mut three).await;
    let view = server.get("/targets/robot-3").await;
    assert_eq!((&view["conditions"]["degraded"], &view["conditions"]["progressing"]), (&json!(true), &json!(true)), "{view}");
    let deployments = server.get("/deployments").await;
    let of_map = deployments["items"].as_array().unwrap().iter().find(|one| one["slot"] == "map").unwrap();
    let third = &of_map["targets"][1];
    assert_eq!((&of_map["state"], &third["status"], &third["reason"]), (&json!("failed"), &json!("failed"), &json!(LACKS)), "{of_map}");

    // The second gets its slots: applied again, the declaration reaches it.
    says(&server, &mut two, &ALL).await;
    let last = plan(&server, &spec("1", None)).await;
    assert_eq!((changed(&last), last["lacking"][0]["robots"].clone()), (vec!["robot-2"], Value::Null), "{last}");
    applied(&server, &spec("1", None), 1).await;
    says(&server, &mut two, &ALL).await;
    assert_eq!(server.get("/targets/robot-2").await["conditions"]["ready"], true);
    let export = server.get("/fleet/export").await;
    assert_eq!(export["spec"], server.get("/fleet").await["spec"]);
    server.stop().await;
}

#[tokio::test]
async fn a_declared_map_goes_out_by_rollout_to_those_that_have_a_slot_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (server, [mut one, mut two, mut three]) = started(&folder).await;
    applied(&server, &spec("1", None), 0).await;
    for (robot, has) in [(&mut one, &ALL[..]), (&mut two, &ALL[..]), (&mut three, &ALL[..1])] {
        server.app.robot_connected(&robot.id, Door::Http).await;
        says(&server, robot, has).await;
    }
    let second = spec("2", Some("careful"));
    let planned = plan(&server, &second).await;
    assert_eq!((&planned["rollouts"][0]["release"], &planned["rollouts"][0]["robots"]), (&json!("hall/2"), &json!(2)), "{planned}");
    applied(&server, &second, 1).await;
    let id = server.get("/rollouts").await["items"][0]["id"].as_str().unwrap().to_owned();
    for _ in 0..40 {
        server.app.step_rollouts().await.unwrap();
        if server.get(&format!("/rollouts/{id}")).await["phase"] == "succeeded" {
            break;
        }
        for robot in [&mut one, &mut two] {
            says(&server, robot, &ALL).await;
        }
    }
    let view = server.get(&format!("/rollouts/{id}")).await;
    assert_eq!((&view["phase"], &view["robots"]), (&json!("succeeded"), &json!({ "updated": 2 })), "{view:#}");
    let lots = server.get(&format!("/deployments?rollout={id}")).await;
    assert!(lots["items"].as_array().unwrap().iter().all(|lot| lot["model"] == "hall" && lot["state"] == "succeeded"), "{lots}");

    // One that is asked for by hand fails where there is no slot, before anything is told.
    let release = json!({ "kind": "map", "name": "hall", "version": "1" });
    let spec = json!({ "release": release, "slot": "map", "targets": { "names": ["robot-3"] } });
    let before = three.desired(&server.app).await.unwrap().version;
    let (_, planned) = server.post("/rollouts?dry_run=true", spec.clone()).await;
    assert_eq!(planned["stages"][0]["robots"][0]["lacks"], LACKS, "the plan says so before: {planned}");
    let (status, made) = server.post("/rollouts", spec).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    server.app.step_rollouts().await.unwrap();
    let view = server.get(&format!("/rollouts/{}", made["id"].as_str().unwrap())).await;
    let failed = view["history"].as_array().unwrap().iter().find(|entry| entry["happened"] == "robot_failed").unwrap();
    assert_eq!((&failed["robot"], &failed["cause"]), (&json!("robot-3"), &json!(format!("{LACKS}; it was never told"))));
    assert_eq!((&view["phase"], three.desired(&server.app).await.unwrap().version), (&json!("rolled_back"), before), "{view:#}");
    server.stop().await;
}
