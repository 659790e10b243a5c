//! Robots: labelled, found and counted, also where there are ten thousand.

use edgeflow_core::{OrganisationId, RobotId, TargetName, desired, target::Target};
use edgeflow_server::app::Door;
use edgeflow_store_sqlite::Sqlite;
use edgeflow_wire::{Class, EntryBody, Hold, StateBody};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

use crate::common::{Server, answer, bundle, drift, options};

fn names(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn robots_are_found_by_label_condition_model_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let mut one = server.enrol("robot-1").await;
    let mut two = server.enrol("robot-2").await;
    server.enrol("truck-1").await;
    server.register("label-reader", bundle("v1")).await;
    server.register("label-reader", bundle("v2")).await;
    assert_eq!(names(&server.get("/targets?label=site:berlin").await), ["robot-1", "robot-2", "truck-1"]);

    let put = |name: &str, labels: Value| {
        answer(server.request(Method::PUT, &format!("/targets/{name}/labels")).json(&json!({ "labels": labels })))
    };
    let (status, shown) = put("robot-2", json!({ "site": "rome", "environment": "test" })).await;
    assert_eq!((status, &shown["labels"]), (StatusCode::OK, &json!({ "site": "rome", "environment": "test" })));
    assert_eq!(put("ghost", json!({})).await.0, StatusCode::NOT_FOUND);
    let (status, refused) = put("robot-2", json!({ "": "x" })).await;
    assert!(status == StatusCode::BAD_REQUEST && refused["error"]["message"].as_str().unwrap().starts_with("bad labels"), "{refused}");
    assert_eq!(server.get("/audit").await["items"][0]["detail"]["labels"]["site"], "rome");
    assert_eq!(names(&server.get("/targets?label=site:rome").await), ["robot-2"], "it is known at once");
    assert_eq!(names(&server.get("/targets?label=site:rome&label=site:berlin").await).len(), 3, "any of these values");
    assert_eq!(names(&server.get("/targets?label=site:rome&label=environment:live").await).len(), 0, "every key");
    assert_eq!(names(&server.get("/targets?q=truck").await), ["truck-1"]);

    server.deploy("1", &["robot-1"]).await;
    server.deploy("2", &["robot-2"]).await;
    assert_eq!(names(&server.get("/targets?condition=progressing").await), ["robot-1", "robot-2"]);
    one.converge(&server.app).await;
    two.converge(&server.app).await;
    assert_eq!(names(&server.get("/targets?condition=ready").await), [""; 0], "nobody is online");
    server.app.robot_connected(&one.id, Door::Mqtt).await;
    assert_eq!(names(&server.get("/targets?condition=ready").await), ["robot-1"]);
    assert_eq!(names(&server.get("/targets?condition=offline").await), ["robot-2", "truck-1"]);
    assert_eq!(names(&server.get("/targets?model=label-reader/2").await), ["robot-2"]);
    assert_eq!(names(&server.get("/targets?model=label-reader").await), ["robot-1", "robot-2"]);
    two.say(&server.app, Class::Summary, vec![drift(1, true)]).await;
    let drifted = server.get("/targets?condition=drifted&label=site:rome").await;
    assert_eq!(drifted["items"], json!([server.get("/targets/robot-2").await]), "as shown elsewhere");

    let page = server.get("/targets?q=r&limit=2").await;
    assert_eq!((names(&page), &page["next"]), (vec!["robot-1", "robot-2"], &json!("robot-2")));
    assert_eq!(names(&server.get("/targets?q=r&limit=2&after=robot-2").await), ["truck-1"]);
    for (query, reason) in [
        ("label=site", "key:value"),
        ("condition=fine", "progressing"),
        ("sort=up", "unknown key"),
        ("limit=x", "1 to 1000"),
        ("limit=0", "1 to 1000"),
    ] {
        let (status, body) = answer(server.request(Method::GET, &format!("/targets?{query}"))).await;
        assert!(status == StatusCode::BAD_REQUEST && body["error"]["message"].as_str().unwrap().contains(reason), "{query}: {body}");
    }

    let summary = server.get("/targets/summary").await;
    assert_eq!(summary["robots"], 3);
    assert_eq!(summary["labels"], json!({ "site": { "berlin": 2, "rome": 1 }, "environment": { "test": 1 } }));
    assert_eq!(
        (&summary["conditions"]["ready"], &summary["conditions"]["drifted"], &summary["conditions"]["offline"]),
        (&json!(1), &json!(1), &json!(2))
    );
    assert_eq!(summary["models"].as_array().unwrap().len(), 2, "{summary}");
    let rome = server.get("/targets/summary?label=site:rome").await;
    assert_eq!((&rome["robots"], &rome["models"][0]["version"], &rome["models"][0]["robots"]), (&json!(1), &json!("2"), &json!(1)));
    assert_eq!(answer(server.request(Method::GET, "/targets/summary?limit=3")).await.0, StatusCode::BAD_REQUEST);

    server.request(Method::DELETE, "/targets/robot-2").send().await.unwrap();
    assert_eq!(server.get("/targets/summary").await["robots"], 2, "a revoked robot is gone");
    server.stop().await;
}

#[tokio::test]
async fn held_robots_are_found_and_counted_whoever_holds_them() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    server.enrol("robot-1").await;
    let mut two = server.enrol("robot-2").await;
    let held = async |server: &Server| {
        let (page, counted) = (server.get("/targets?condition=held").await, server.get("/targets/summary").await);
        let names: Vec<String> = names(&page).into_iter().map(str::to_owned).collect();
        assert_eq!(counted["conditions"]["held"], names.len(), "{counted}");
        assert_eq!(server.get("/targets/summary?condition=held").await["robots"], names.len());
        names
    };
    let says = |held: Option<Hold>| vec![EntryBody::State(StateBody { held, software: "0.1.0".into(), ..StateBody::default() })];
    assert_eq!(held(&server).await, [""; 0]);

    assert_eq!(server.post("/targets/robot-1/hold", json!({ "reason": "audit" })).await.0, StatusCode::OK);
    assert_eq!(held(&server).await, ["robot-1"], "it is known at once");
    let by_hand = Hold { reason: "gripper is off".into(), by: Hold::AT_ROBOT.into(), since_us: 5 };
    two.say(&server.app, Class::Event, says(Some(by_hand.clone()))).await;
    assert_eq!(held(&server).await, ["robot-1", "robot-2"]);
    let found = server.get("/targets?condition=held&q=robot-2").await;
    assert_eq!((names(&found), &found["items"][0]["held"]["by"]), (vec!["robot-2"], &json!("robot")), "with what else is asked for");
    // Who starts anew knows it, too.
    server.stop().await;
    let server = Server::start(options(&folder)).await;
    assert_eq!(held(&server).await, ["robot-1", "robot-2"]);

    let released = answer(server.request(Method::DELETE, "/targets/robot-1/hold")).await;
    assert_eq!((released.0, held(&server).await), (StatusCode::OK, vec!["robot-2".to_owned()]));
    // What a robot repeats of our hold after it was lifted is old news, and not its own hold.
    two.say(&server.app, Class::Event, says(Some(Hold { by: "administrator".into(), ..by_hand }))).await;
    assert_eq!(held(&server).await, [""; 0]);
    two.say(&server.app, Class::Event, says(None)).await;
    assert_eq!(held(&server).await, [""; 0]);
    server.stop().await;
}

#[tokio::test]
async fn a_page_of_ten_thousand_robots_is_quick() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(folder.path()).await.unwrap();
    let stores = sqlite.stores();
    stores.server.identity(1).await.unwrap();
    let robot = |number: u32| {
        let name = TargetName::new(format!("robot-{number:05}")).unwrap();
        let labels = [("site".to_owned(), format!("site-{}", number % 7)), ("environment".to_owned(), "test".to_owned())].into();
        let id = RobotId { organisation: OrganisationId::first(), name: name.clone() };
        Target { id, labels, token_hash: [0; 32], created_at_us: 1, desired: desired::empty(&name) }
    };
    for chunk in (0..10_000).collect::<Vec<_>>().chunks(500) {
        let made = chunk.iter().map(|number| {
            let (targets, robot) = (stores.targets.clone(), robot(*number));
            async move { targets.create_target(&robot).await.unwrap() }
        });
        futures::future::join_all(made).await;
    }
    sqlite.close().await;

    let server = Server::start(options(&folder)).await;
    assert_eq!(server.get("/targets/summary").await["robots"], 10_000);
    let (mut seen, mut slowest, mut after) = (0, Duration::ZERO, String::new());
    loop {
        let began = Instant::now();
        let page = server.get(&format!("/targets?label=site:site-3&condition=offline&limit=1000&after={after}")).await;
        slowest = slowest.max(began.elapsed());
        seen += names(&page).len();
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(seen, (0..10_000).filter(|number| number % 7 == 3).count());
    // The least that tells a scan from a page, on a machine that does ten other things.
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    server.stop().await;
}
