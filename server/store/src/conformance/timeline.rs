//! Everything that touched a robot, and who did what to what it ran.

use edgeflow_core::{
    RobotId,
    audit::NewAudit,
    capture::Gone,
    command::NewCommand,
    identity::{Certificate, Fingerprint},
    timeline::{Category, Place, Window, merge},
};
use edgeflow_wire::{CaptureInfo, Class};
use serde_json::json;
use std::collections::BTreeSet;

use super::fixtures::{batch, deployment, entry, hello, known, loss, org, other_org, robot, target, target_name};
use crate::Stores;

async fn act(stores: &Stores, at_us: i64, action: &str, resource: &str, outcome: &str) {
    let new = NewAudit {
        at_us,
        who: "administrator".into(),
        action: action.into(),
        resource: resource.into(),
        outcome: outcome.into(),
        detail: json!({}),
    };
    stores.audit.append_audit(&org(), &new).await.unwrap();
}

fn state(digest: &str) -> edgeflow_wire::EntryBody {
    let now = edgeflow_wire::SlotState {
        status: edgeflow_wire::SlotStatus::Active,
        model: "reader".into(),
        version: digest.into(),
        digest: digest.into(),
        ..edgeflow_wire::SlotState::default()
    };
    edgeflow_wire::EntryBody::State(edgeflow_wire::StateBody {
        observed: edgeflow_wire::ObservedState { version: edgeflow_wire::Version::default() },
        slots: [("default".to_owned(), now)].into(),
        software: "0.1.0".into(),
        ..edgeflow_wire::StateBody::default()
    })
}

/// Places of a window as text, in pages.
async fn places(stores: &Stores, robot: &RobotId, window: &Window) -> Vec<String> {
    let (mut found, mut window) = (Vec::new(), window.clone());
    loop {
        let mut parts = Vec::new();
        for store in &stores.timeline {
            parts.extend(store.touches(robot, &window).await.unwrap());
        }
        let (page, next) = merge(parts, window.limit);
        found.extend(page.iter().map(|touch| touch.place.to_string()));
        let Some(next) = next else { return found };
        window.after = Some(next);
    }
}

/// Timelines.
pub async fn what_touched_a_robot_is_read_by_place_from_every_store(stores: Stores) {
    stores.server.identity(1).await.unwrap();
    for name in ["r1", "r2"] {
        stores.targets.create_target(&target(name)).await.unwrap();
    }
    let r1 = robot("r1");
    // telemetry: two epochs, entries of which those of the first two classes count, a loss, and what was attested.
    let ingest = |batch| {
        let (entries, r1) = (stores.entries.clone(), r1.clone());
        async move { entries.ingest_batch(&r1, &batch, 500).await.unwrap() }
    };
    stores.entries.ingest_hello(&r1, &hello("e1", 1, 1), 100).await.unwrap();
    ingest(known(Class::Event, 1, vec![state("a"), state("b"), state("")])).await;
    ingest(batch("e1", Class::Summary, vec![entry(1)])).await;
    ingest(edgeflow_wire::Batch { loss: Some(loss(1, 4)), ..batch("e1", Class::Critical, vec![entry(5)]) }).await;
    stores.entries.ingest_hello(&r1, &hello("e2", 1, 1), 200).await.unwrap();
    // fleet: deployments, commands, a capture that came and went, a certificate that was revoked with its robot.
    stores.deployments.create_deployment(&org(), &deployment("a", &["r1", "r2"])).await.unwrap();
    stores.deployments.create_deployment(&org(), &deployment("b", &["r2"])).await.unwrap();
    for (id, kind) in [("c1", json!({ "kind": "resume" })), ("c2", json!({ "kind": "end_live", "session": "s" }))] {
        let new = NewCommand {
            id: id.into(),
            target: target_name("r1"),
            action: kind,
            issued_us: 20,
            expires_us: 30,
            created_by: "administrator".into(),
        };
        stores.commands.create_command(&org(), &new).await.unwrap();
    }
    let info = CaptureInfo { id: "a".into(), size_bytes: 7, sha256: "a".repeat(64), ..CaptureInfo::default() };
    let capture = stores.captures.offer_capture(&r1, &info, 21).await.unwrap().number;
    stores.captures.store_capture(capture, 22).await.unwrap();
    stores.captures.drop_capture(capture, Gone::Age, 23).await.unwrap();
    let certificate = Certificate {
        fingerprint: Fingerprint([1; 32]),
        target: r1.clone(),
        serial: "01".into(),
        issued_at_us: 7,
        not_after_us: 1_000,
        revoked_at_us: None,
    };
    stores.identities.create_certificate(&certificate).await.unwrap();
    assert!(stores.targets.revoke_target(&org(), &target_name("r1"), 50).await.unwrap());
    // registry: what was done to it, what was denied, and what is told elsewhere.
    act(&stores, 5, "enrol_target", "target/r1", "done").await;
    act(&stores, 20, "command", "target/r1", "done").await;
    act(&stores, 20, "command", "target r1", "denied").await;
    act(&stores, 50, "revoke_target", "target/r1", "done").await;
    act(&stores, 50, "revoke_target", "target/r2", "done").await;

    let everything = |limit| Window::everything(limit);
    let all = places(&stores, &r1, &everything(1_000)).await;
    let expected = [
        "1005.entry.5", // of class critical
        "1003.entry.3",
        "1003.interval-end.2",
        "1002.entry.2",
        "1002.interval.2",
        "1001.entry.1",
        "1001.interval.1",
        "200.epoch.2",
        "100.epoch.1",
        "50.act.4",
        "50.certificate.7",
        "23.capture-gone.1",
        "22.capture.1",
        "20.act.3",
        "20.command.1",
        "9.deployment.1",
        "5.act.1",
        "2.loss.1",
    ];
    assert_eq!(all, expected);
    for limit in [1, 2, 3, 17, 18] {
        assert_eq!(places(&stores, &r1, &everything(limit)).await, expected, "pages of {limit}");
    }
    for (from_us, to_us) in [(20, 51), (9, 20), (1_002, 1_003), (50, 50), (i64::MIN, 3)] {
        let within: Vec<&str> =
            expected.into_iter().filter(|place| (from_us..to_us).contains(&place.parse::<Place>().unwrap().at_us)).collect();
        assert_eq!(places(&stores, &r1, &Window { from_us, to_us, ..everything(2) }).await, within, "{from_us} to {to_us}");
    }
    let only = |categories: &[Category]| Window { categories: categories.iter().copied().collect::<BTreeSet<_>>(), ..everything(2) };
    assert_eq!(
        places(&stores, &r1, &only(&[Category::Attested, Category::Desired])).await,
        [expected[2], expected[4], expected[6], expected[15]]
    );
    assert_eq!(places(&stores, &r1, &only(&[Category::Deployment])).await, [expected[1], expected[3], expected[5]], "kinds of entries");
    assert_eq!(places(&stores, &r1, &only(&[Category::Event])).await, [expected[0]], "kinds that nobody claims");
    assert_eq!(places(&stores, &r1, &only(&[Category::Command])).await, [expected[13], expected[14]]);
    assert_eq!(places(&stores, &robot("r2"), &everything(9)).await, ["50.act.5", "9.deployment.2", "9.deployment.1"]);
    let foreign = RobotId { organisation: other_org(), ..r1 };
    assert!(places(&stores, &foreign, &everything(9)).await.is_empty());
}

/// Lineage of people.
pub async fn deployments_and_acts_are_found_by_what_they_were_about(stores: Stores) {
    stores.server.identity(1).await.unwrap();
    for name in ["r1", "r2", "r3"] {
        stores.targets.create_target(&target(name)).await.unwrap();
    }
    for (digest, targets) in [("a", vec!["r1", "r2"]), ("b", vec!["r1"]), ("a", vec!["r1", "r3"])] {
        stores.deployments.create_deployment(&org(), &deployment(digest, &targets)).await.unwrap();
    }
    let of = |digest: &'static str, name: Option<&'static str>, limit: u32| {
        let deployments = stores.deployments.clone();
        async move {
            let name = name.map(target_name);
            let found = deployments.deployments_of(&org(), digest, name.as_ref(), limit).await.unwrap();
            let row = |one: &edgeflow_core::deployment::Deployment| {
                format!("{}: {}", one.id, one.asked.iter().map(|asked| asked.target.to_string()).collect::<Vec<_>>().join(" "))
            };
            found.iter().map(row).collect::<Vec<_>>()
        }
    };
    assert_eq!(of("a", None, 10).await, ["3: r1 r3", "1: r1 r2"]);
    assert_eq!(of("a", None, 3).await, ["3: r1 r3", "1: r1"], "bounded by robots");
    assert_eq!(of("a", Some("r1"), 10).await, ["3: r1", "1: r1"]);
    assert_eq!(of("a", Some("r1"), 1).await, ["3: r1"]);
    assert!(of("b", Some("r2"), 10).await.is_empty());
    assert!(stores.deployments.deployments_of(&other_org(), "a", None, 10).await.unwrap().is_empty());

    for (at_us, resource) in [(1, "model/reader"), (2, "model/reader/1"), (3, "model/reader/11"), (4, "model/reader/1")] {
        act(&stores, at_us, "write_model", resource, "done").await;
    }
    let resources = ["model/reader/1".to_owned(), "model/reader".to_owned()];
    let found = |limit| {
        let (audit, resources) = (stores.audit.clone(), resources.clone());
        async move { audit.audit_of(&org(), &resources, limit).await.unwrap().into_iter().map(|one| one.at_us).collect::<Vec<_>>() }
    };
    assert_eq!((found(10).await, found(2).await), (vec![4, 2, 1], vec![4, 2]));
    assert!(stores.audit.audit_of(&other_org(), &resources, 9).await.unwrap().is_empty());
}
