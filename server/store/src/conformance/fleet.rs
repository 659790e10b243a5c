//! Promises about the server, robots and deployments.

use edgeflow_core::{
    capture::{Gone, MAX_UNFINISHED},
    command::{Ended, GivenCommand, MAX_OPEN, NewCommand},
    reconciliation::Settled,
    target::Target,
};
use edgeflow_wire::{CaptureInfo, CommandOutcome, Version, VersionVector};

use super::fixtures::{deployment, org, other_org, robot, target, target_name};
use crate::{StoreError, Stores};

async fn enrol(stores: &Stores, names: &[&str]) {
    stores.server.identity(1).await.unwrap();
    for name in names {
        stores.targets.create_target(&target(name)).await.unwrap();
    }
}

async fn read(stores: &Stores, name: &str) -> Target {
    stores.targets.target(&org(), &target_name(name)).await.unwrap().unwrap()
}

fn at(server_epoch: u64, generation: u64) -> Version {
    Version { server_epoch, generation }
}

/// The server itself.
pub async fn the_server_knows_itself_and_its_token(stores: Stores) {
    let server = stores.server;
    assert_eq!(server.admin_token_hash().await.unwrap(), None);
    assert!(server.set_admin_token_hash([1; 32]).await.is_err(), "there is no server yet");
    let identity = server.identity(42).await.unwrap();
    assert_eq!((identity.server_epoch, identity.created_at_us), (1, 42));
    assert_eq!(server.identity(99).await.unwrap(), identity);
    assert_eq!(server.admin_token_hash().await.unwrap(), None);
    server.set_admin_token_hash([1; 32]).await.unwrap();
    server.set_admin_token_hash([2; 32]).await.unwrap();
    assert_eq!(server.admin_token_hash().await.unwrap(), Some([2; 32]));
}

/// Robots.
pub async fn a_robot_is_enrolled_found_listed_and_revoked(stores: Stores) {
    enrol(&stores, &["r2", "r1", "r3"]).await;
    assert_eq!(read(&stores, "r1").await, target("r1"));
    assert_eq!(stores.targets.target_anywhere(&target_name("r1")).await.unwrap(), Some(target("r1")));
    assert_eq!(stores.targets.target(&other_org(), &target_name("r1")).await.unwrap(), None);
    let page = stores.targets.targets(&org(), None, 2).await.unwrap();
    assert_eq!(page, [target("r1"), target("r2")]);
    assert_eq!(stores.targets.targets(&org(), Some("r2"), 2).await.unwrap(), [target("r3")]);
    assert!(!stores.targets.revoke_target(&other_org(), &target_name("r1"), 8).await.unwrap());
    assert!(stores.targets.revoke_target(&org(), &target_name("r1"), 8).await.unwrap());
    assert!(!stores.targets.revoke_target(&org(), &target_name("r1"), 9).await.unwrap(), "once");
    assert_eq!(stores.targets.target_anywhere(&target_name("r1")).await.unwrap(), None);
    assert_eq!(stores.targets.targets(&org(), None, 9).await.unwrap(), [target("r2"), target("r3")]);
}

/// Names of robots.
pub async fn a_robots_name_is_taken_over_all_organisations(stores: Stores) {
    enrol(&stores, &["r1"]).await;
    let mut theirs = target("r1");
    assert!(matches!(stores.targets.create_target(&theirs).await, Err(StoreError::Taken { what: "robot", .. })));
    theirs.id.organisation = other_org();
    assert!(matches!(stores.targets.create_target(&theirs).await, Err(StoreError::Taken { .. })));
    stores.targets.revoke_target(&org(), &target_name("r1"), 8).await.unwrap();
    assert!(matches!(stores.targets.create_target(&theirs).await, Err(StoreError::Taken { .. })), "its log is not theirs");
}

/// Names that were revoked.
pub async fn a_revoked_name_comes_back_with_its_generation(stores: Stores) {
    enrol(&stores, &["r1"]).await;
    stores.deployments.create_deployment(&org(), &deployment("a", &["r1"])).await.unwrap();
    stores.targets.revoke_target(&org(), &target_name("r1"), 8).await.unwrap();
    let again = Target { token_hash: [9; 32], ..target("r1") };
    stores.targets.create_target(&again).await.unwrap();
    let now = read(&stores, "r1").await;
    assert_eq!((now.token_hash, now.desired.version), ([9; 32], at(1, 1)));
    let next = stores.deployments.create_deployment(&org(), &deployment("b", &["r1"])).await.unwrap();
    assert_eq!(next.asked[0].version, at(1, 2));
}

/// Deployments.
pub async fn a_deployment_declares_and_supersedes(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    let first = stores.deployments.create_deployment(&org(), &deployment("a", &["r2", "r1"])).await.unwrap();
    assert_eq!(first.asked.iter().map(|asked| asked.target.as_str()).collect::<Vec<_>>(), ["r1", "r2"]);
    assert!(first.asked.iter().all(|asked| asked.version == at(1, 1) && asked.superseded_by.is_none()));
    let doc = read(&stores, "r1").await.desired;
    assert_eq!((doc.version, doc.slots["default"].digest.as_str()), (at(1, 1), "a"));
    let second = stores.deployments.create_deployment(&org(), &deployment("b", &["r1"])).await.unwrap();
    assert!(second.id > first.id && second.asked[0].version == at(1, 2));
    assert_eq!(read(&stores, "r1").await.desired.slots["default"].digest, "b");
    assert_eq!(read(&stores, "r2").await.desired.slots["default"].digest, "a");
    let first = stores.deployments.deployment(&org(), first.id).await.unwrap().unwrap();
    assert_eq!(first.asked[0].superseded_by, Some(at(1, 2)));
    assert_eq!(first.asked[1].superseded_by, None);
    let standing = |name: &'static str| {
        let deployments = stores.deployments.clone();
        async move {
            let standing = deployments.standing_deployments(&org(), &[target_name(name)]).await.unwrap();
            standing.into_iter().map(|deployment| (deployment.id, deployment.asked.len())).collect::<Vec<_>>()
        }
    };
    assert_eq!(standing("r1").await, [(second.id, 1)]);
    assert_eq!(standing("r2").await, [(first.id, 2)], "with all its robots");
}

/// Deployments that cannot be.
pub async fn a_deployment_with_an_unknown_robot_changes_nothing(stores: Stores) {
    enrol(&stores, &["r1"]).await;
    let error = stores.deployments.create_deployment(&org(), &deployment("a", &["r1", "ghost"])).await.unwrap_err();
    assert!(matches!(&error, StoreError::Missing { what: "robot", name } if name == "ghost"), "{error}");
    assert_eq!(read(&stores, "r1").await, target("r1"));
    assert!(stores.deployments.deployments(&org(), None, None, 9).await.unwrap().is_empty());
    let theirs = stores.deployments.create_deployment(&other_org(), &deployment("a", &["r1"])).await;
    assert!(matches!(theirs, Err(StoreError::Missing { .. })), "another organisation's robot");
}

/// Restores.
pub async fn a_restored_server_raises_every_desired_state(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    stores.deployments.create_deployment(&org(), &deployment("a", &["r1"])).await.unwrap();
    assert_eq!(stores.server.raise_epoch(50).await.unwrap().server_epoch, 2);
    assert_eq!(read(&stores, "r1").await.desired.version, at(2, 1));
    assert_eq!(read(&stores, "r2").await.desired.version, at(0, 0), "nothing was declared for it");
    let next = stores.deployments.create_deployment(&org(), &deployment("b", &["r1", "r2"])).await.unwrap();
    assert_eq!((next.asked[0].version, next.asked[1].version), (at(2, 2), at(2, 1)));
    assert_eq!(read(&stores, robot("r1").as_str()).await.desired.version, at(2, 2));
}

/// Policies.
pub async fn a_policy_is_declared_beside_the_slots(stores: Stores) {
    enrol(&stores, &["r1"]).await;
    let policy = |period_s: u32| serde_json::json!({ "routes": [{ "name": "odom", "allow": ["odom"], "fields": ["x"], "window": { "period_s": period_s } }] });
    let set = |document: serde_json::Value| {
        let targets = stores.targets.clone();
        async move { targets.set_policy(&org(), &target_name("r1"), &document).await }
    };
    stores.deployments.create_deployment(&org(), &deployment("a", &["r1"])).await.unwrap();
    let (first, changed) = set(policy(60)).await.unwrap();
    assert_eq!((first.desired.version, changed), (at(1, 2), true));
    assert_eq!(read(&stores, "r1").await, first);
    assert_eq!(set(policy(60)).await.unwrap(), (first.clone(), false), "the same again is no change");
    stores.deployments.create_deployment(&org(), &deployment("b", &["r1"])).await.unwrap();
    let (second, _) = set(policy(10)).await.unwrap();
    assert_eq!((second.desired.version, second.desired.slots["default"].digest.as_str()), (at(1, 4), "b"));
    assert_eq!(second.desired.policy.as_ref().map(|policy| policy.version), Some(2));
    assert!(matches!(set(policy(0)).await, Err(StoreError::Refused(_))));
    assert_eq!(read(&stores, "r1").await, second, "a refusal leaves what was");
    let theirs = stores.targets.set_policy(&other_org(), &target_name("r1"), &policy(5)).await;
    assert!(matches!(theirs, Err(StoreError::Missing { what: "robot", .. })), "another organisation's robot");
}

/// Holds, slots that leave, and decisions.
pub async fn a_robot_is_held_and_its_slots_are_settled(stores: Stores) {
    enrol(&stores, &["r1"]).await;
    let (name, slot) = (target_name("r1"), edgeflow_core::SlotName::default_slot());
    let hold = edgeflow_wire::Hold { reason: "audit".into(), by: "administrator".into(), since_us: 7 };
    stores.deployments.create_deployment(&org(), &deployment("a", &["r1"])).await.unwrap();
    let (held, changed) = stores.targets.set_hold(&org(), &name, Some(&hold)).await.unwrap();
    assert_eq!((held.desired.version, held.desired.hold.as_ref(), changed), (at(1, 2), Some(&hold), true));
    assert_eq!(read(&stores, "r1").await, held);
    assert!(!stores.targets.set_hold(&org(), &name, Some(&hold)).await.unwrap().1, "the same again is no change");
    let standing = async || stores.deployments.standing_deployments(&org(), std::slice::from_ref(&name)).await.unwrap().len();
    assert_eq!(standing().await, 1, "a hold is no word about slots");
    let (free, _) = stores.targets.set_hold(&org(), &name, None).await.unwrap();
    assert_eq!((free.desired.version, free.desired.hold.clone(), free.desired.slots.len()), (at(1, 3), None, 1));

    let mut spec = free.desired.slots["default"].clone();
    let keep = [Settled { slot: slot.clone(), changes: 2, declare: None }];
    let settled = stores.targets.settle(&org(), &name, &keep).await.unwrap();
    let vector = VersionVector { robot: 2, control: at(1, 4) };
    assert_eq!((settled.desired.vectors["default"], standing().await), (vector, 1), "what was declared stands");
    spec.digest = "mine".into();
    let take = [Settled { slot: slot.clone(), changes: 1, declare: Some(spec) }];
    let settled = stores.targets.settle(&org(), &name, &take).await.unwrap();
    assert_eq!((settled.desired.slots["default"].digest.as_str(), settled.desired.vectors["default"].robot), ("mine", 2));
    assert_eq!((standing().await, &read(&stores, "r1").await), (0, &settled));

    let (empty, changed) = stores.targets.undeclare(&org(), &name, &slot).await.unwrap();
    assert_eq!((empty.desired.slots.len(), empty.desired.vectors["default"].control, changed), (0, at(1, 6), true));
    assert!(!stores.targets.undeclare(&org(), &name, &slot).await.unwrap().1);
    let theirs = stores.targets.set_hold(&other_org(), &name, Some(&hold)).await;
    assert!(matches!(theirs, Err(StoreError::Missing { what: "robot", .. })), "another organisation's robot");
}

/// Lists of deployments.
pub async fn deployments_are_listed_newest_first(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    let mut ids = Vec::new();
    for digest in ["a", "b", "c"] {
        ids.push(stores.deployments.create_deployment(&org(), &deployment(digest, &["r1", "r2"])).await.unwrap().id);
    }
    let page = stores.deployments.deployments(&org(), None, None, 2).await.unwrap();
    assert_eq!(page.iter().map(|found| (found.id, found.asked.len())).collect::<Vec<_>>(), [(ids[2], 2), (ids[1], 2)]);
    let rest = stores.deployments.deployments(&org(), None, Some(ids[1]), 2).await.unwrap();
    assert_eq!((rest.len(), rest[0].id, rest[0].digest.as_str()), (1, ids[0], "a"));
    assert!(stores.deployments.deployments(&other_org(), None, None, 9).await.unwrap().is_empty());
    assert_eq!(stores.deployments.deployment(&other_org(), ids[0]).await.unwrap(), None);
    assert_eq!(stores.deployments.deployment(&org(), 1_000_000).await.unwrap(), None);
}

/// Captures.
pub async fn a_capture_is_offered_once_and_its_row_stays(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    let info = |id: &str| CaptureInfo { id: id.into(), size_bytes: 7, sha256: "a".repeat(64), policy: u64::MAX, ..CaptureInfo::default() };
    let (captures, one, other) = (stores.captures.clone(), robot("r1"), robot("r2"));
    let first = captures.offer_capture(&one, &info("a"), 1).await.unwrap();
    assert_eq!((first.info.clone(), first.touched_us, first.stored_us, first.gone), (info("a"), 1, None, None));
    assert_eq!(captures.offer_capture(&one, &info("a"), 2).await.unwrap(), first, "the same again");
    let larger = CaptureInfo { size_bytes: 8, ..info("a") };
    assert!(matches!(captures.offer_capture(&one, &larger, 2).await, Err(StoreError::Taken { what: "capture", .. })));
    let theirs = captures.offer_capture(&other, &info("a"), 3).await.unwrap();
    assert_eq!(captures.capture(&other, "a").await.unwrap(), Some(theirs.clone()));
    assert_eq!(captures.capture(&one, "b").await.unwrap(), None);
    captures.touch_capture(first.number, 4).await.unwrap();
    captures.store_capture(first.number, 5).await.unwrap();
    captures.store_capture(first.number, 6).await.unwrap();
    let stored = captures.capture(&one, "a").await.unwrap().unwrap();
    assert_eq!((stored.touched_us, stored.stored_us), (4, Some(5)));
    let second = captures.offer_capture(&one, &info("b"), 6).await.unwrap();
    assert_eq!(captures.captures(&one, None, 9).await.unwrap(), [second.clone(), stored.clone()]);
    assert_eq!(captures.captures(&one, Some(second.number), 9).await.unwrap(), std::slice::from_ref(&stored));
    assert_eq!(captures.captures_here().await.unwrap(), [stored.clone(), theirs, second.clone()]);
    captures.drop_capture(first.number, Gone::Age, 7).await.unwrap();
    captures.drop_capture(first.number, Gone::Space, 8).await.unwrap();
    captures.drop_capture(second.number, Gone::Mismatch, 9).await.unwrap();
    assert_eq!(captures.captures_here().await.unwrap().len(), 1);
    assert_eq!(captures.offer_capture(&one, &info("a"), 9).await.unwrap().gone, Some((7, Gone::Age)), "it was here");
    let again = captures.offer_capture(&one, &info("b"), 9).await.unwrap();
    assert_eq!((again.number, again.touched_us, again.gone), (second.number, 9, None), "what did not match may come again");
    assert_eq!(captures.capture(&one, "b").await.unwrap(), Some(again));
    for n in 1..MAX_UNFINISHED {
        captures.offer_capture(&one, &info(&format!("c{n}")), 10).await.unwrap();
    }
    assert!(matches!(captures.offer_capture(&one, &info("d"), 10).await, Err(StoreError::Refused(_))));
}

/// Commands.
pub async fn a_command_is_open_until_it_ended_or_expired(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    let new = |id: &str, target: &str, issued_us: i64| {
        let action = serde_json::json!({ "kind": "pause", "for_s": 1.5 });
        NewCommand::new(id.into(), target_name(target), action, issued_us, 60.0, "administrator".into()).unwrap()
    };
    let commands = stores.commands.clone();
    let first = commands.create_command(&org(), &new("a", "r1", 0)).await.unwrap();
    let second = commands.create_command(&org(), &new("b", "r1", 1_000_000)).await.unwrap();
    commands.create_command(&org(), &new("c", "r2", 0)).await.unwrap();
    assert!(second.number > first.number);
    let (one, other) = (robot("r1"), robot("r2"));
    assert_eq!(commands.command(&one, "a").await.unwrap(), Some(first.clone()));
    assert_eq!(commands.command(&other, "a").await.unwrap(), None, "another robot's");
    assert_eq!(commands.open_commands(&one, 0, 60_000_000).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(commands.open_commands(&one, first.number, 60_000_000).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(commands.open_commands(&one, 0, 60_000_001).await.unwrap(), std::slice::from_ref(&second), "the first has expired");

    let done =
        |message: &str| Ended { outcome: CommandOutcome::Done, message: message.into(), result: serde_json::json!({"x": 1}), at_us: 7 };
    commands.end_commands(&other, &[("b".into(), done("a robot speaks for itself only"))]).await.unwrap();
    commands.end_commands(&one, &[("b".into(), done("")), ("ghost".into(), done(""))]).await.unwrap();
    commands.end_commands(&one, &[("b".into(), done("again"))]).await.unwrap();
    let ended = GivenCommand { ended: Some(done("")), ..second };
    assert_eq!(commands.commands(&one, None, 9).await.unwrap(), [ended.clone(), first.clone()]);
    assert_eq!(commands.commands(&one, Some(ended.number), 9).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(commands.open_commands(&one, 0, 1).await.unwrap(), [first]);

    assert!(matches!(commands.create_command(&org(), &new("d", "ghost", 0)).await, Err(StoreError::Missing { what: "robot", .. })));
    assert!(matches!(commands.create_command(&other_org(), &new("d", "r1", 0)).await, Err(StoreError::Missing { .. })));
    for n in 1..MAX_OPEN {
        commands.create_command(&org(), &new(&n.to_string(), "r1", 0)).await.unwrap();
    }
    assert!(matches!(commands.create_command(&org(), &new("d", "r1", 0)).await, Err(StoreError::Refused(_))), "too many wait");
    commands.create_command(&org(), &new("d", "r1", 60_000_001)).await.unwrap();
}

/// What robots are told to have.
pub async fn robots_are_found_by_what_they_are_told_to_have(stores: Stores) {
    enrol(&stores, &["r2", "r1", "r3"]).await;
    let file = |sha256: &str| edgeflow_wire::BundleFileRef { path: "model.onnx".into(), size_bytes: 1, sha256: sha256.into() };
    let mut first = deployment("one", &["r1", "r2"]);
    first.spec.files = vec![file("aa"), file("bb")];
    stores.deployments.create_deployment(&org(), &first).await.unwrap();
    let mut second = deployment("two", &["r2"]);
    second.spec.version = "2".into();
    second.spec.files = vec![file("bb"), file("cc")];
    stores.deployments.create_deployment(&org(), &second).await.unwrap();
    let told = async |version: &str| stores.targets.targets_told(&org(), "reader", version, 9).await.unwrap();
    assert_eq!((told("1").await, told("2").await, told("3").await), (vec![target_name("r1")], vec![target_name("r2")], vec![]));
    assert!(stores.targets.targets_told(&other_org(), "reader", "1", 9).await.unwrap().is_empty());
    assert!(stores.targets.targets_told(&org(), "other", "1", 9).await.unwrap().is_empty());
    let files = stores.targets.desired_files().await.unwrap();
    assert_eq!(files.into_iter().collect::<Vec<_>>(), ["aa", "bb", "cc"]);
    stores.targets.revoke_target(&org(), &target_name("r1"), 9).await.unwrap();
    assert!(told("1").await.is_empty());
    assert!(stores.targets.desired_files().await.unwrap().contains("aa"), "its desired state comes back with it");
}
