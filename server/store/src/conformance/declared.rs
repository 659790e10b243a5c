//! Promises about declarations of the fleet.

use edgeflow_core::{
    CoreError,
    fleet::{FleetPlan, FleetSpec, NewRevision, Review, RevisionState},
};
use std::collections::BTreeMap;

use super::fixtures::{deployment, org, other_org, target, target_name};
use crate::{FleetOrders, StoreError, Stores, Submitted};

fn revision(based_on: i64, by: &str) -> NewRevision {
    let spec = FleetSpec { review: Some(Review::Required), ..FleetSpec::default() };
    NewRevision {
        based_on,
        message: "why".into(),
        digest: "d".into(),
        spec,
        resolved: [("slots.reader".to_owned(), deployment("a", &[]).spec)].into(),
        plan: FleetPlan { not_enrolled: vec!["ghost".into()], ..FleetPlan::default() },
        created_at_us: 7,
        created_by: by.to_owned(),
    }
}

fn new(based_on: i64) -> Submitted {
    Submitted::New(Box::new(revision(based_on, "administrator")))
}

async fn enrol(stores: &Stores, names: &[&str]) {
    stores.server.identity(1).await.unwrap();
    for name in names {
        stores.targets.create_target(&target(name)).await.unwrap();
    }
}

/// Revisions.
pub async fn a_revision_stands_until_the_next_one_and_is_numbered(stores: Stores) {
    enrol(&stores, &["r1"]).await;
    let (fleet, nothing) = (stores.fleet, FleetOrders::default());
    assert_eq!((fleet.current_revision(&org()).await.unwrap(), fleet.revision(&org(), 1).await.unwrap()), (0, None));
    let (first, told) = fleet.apply_revision(&org(), &new(0), &nothing).await.unwrap().unwrap();
    assert_eq!((first.revision, first.based_on, first.state, told.changed.len()), (1, 0, RevisionState::Applied, 0));
    let stale = fleet.apply_revision(&org(), &new(0), &nothing).await.unwrap_err();
    assert!(matches!(stale, StoreError::Refused(CoreError::StaleRevision { based_on: 0, current: 1 })), "{stale}");
    let stale = fleet.propose_revision(&org(), &revision(0, "operator:ada")).await.unwrap_err();
    assert!(matches!(stale, StoreError::Refused(CoreError::StaleRevision { .. })), "{stale}");
    let (second, _) = fleet.apply_revision(&org(), &new(1), &nothing).await.unwrap().unwrap();
    assert_eq!((second.revision, fleet.current_revision(&org()).await.unwrap()), (2, 2));
    let read = fleet.revision(&org(), 1).await.unwrap().unwrap();
    assert_eq!((read.head.state, read.head.created_by.as_str()), (RevisionState::Superseded, "administrator"));
    let NewRevision { spec, resolved, plan, .. } = revision(0, "");
    assert_eq!((read.spec, read.resolved, read.plan), (spec, resolved, plan));
    let listed = fleet.revisions(&org(), None, 1).await.unwrap();
    assert_eq!(listed, [second]);
    assert_eq!(fleet.revisions(&org(), Some(2), 9).await.unwrap().len(), 1);
    assert!(fleet.revisions(&other_org(), None, 9).await.unwrap().is_empty());
    assert_eq!(fleet.current_revision(&other_org()).await.unwrap(), 0);
}

/// Review.
pub async fn a_proposal_is_decided_once_by_somebody_else(stores: Stores) {
    enrol(&stores, &["r1"]).await;
    let (fleet, nothing) = (stores.fleet, FleetOrders::default());
    let approve = |revision: i64, by: &str| Submitted::Proposed { revision, by: by.to_owned(), reason: "fine".into(), at_us: 9 };
    let first = fleet.propose_revision(&org(), &revision(0, "operator:ada")).await.unwrap();
    let second = fleet.propose_revision(&org(), &revision(0, "operator:ada")).await.unwrap();
    let third = fleet.propose_revision(&org(), &revision(0, "operator:ada")).await.unwrap();
    assert_eq!((first.revision, third.revision, first.state), (1, 3, RevisionState::Proposed));
    assert_eq!(fleet.current_revision(&org()).await.unwrap(), 0, "it waits");
    let own = fleet.apply_revision(&org(), &approve(1, "operator:ada"), &nothing).await.unwrap_err();
    assert!(matches!(own, StoreError::Refused(CoreError::NotDecidable { revision: 1, .. })), "{own}");
    let rejected = fleet.reject_revision(&org(), second.revision, "operator:ada", "no", 8).await.unwrap();
    assert_eq!((rejected.state, rejected.reason.as_str(), rejected.decided_at_us), (RevisionState::Rejected, "no", Some(8)));
    let (stands, _) = fleet.apply_revision(&org(), &approve(1, "operator:eve"), &nothing).await.unwrap().unwrap();
    assert_eq!(
        (stands.state, stands.decided_by.as_deref(), stands.reason.as_str()),
        (RevisionState::Applied, Some("operator:eve"), "fine")
    );
    for (number, why) in [(1, "it stands"), (2, "it was rejected"), (3, "another took effect first")] {
        let refused = fleet.apply_revision(&org(), &approve(number, "operator:eve"), &nothing).await;
        assert!(matches!(refused, Err(StoreError::Refused(CoreError::NotDecidable { .. }))), "{why}");
    }
    assert_eq!(fleet.revision(&org(), 3).await.unwrap().unwrap().head.state, RevisionState::Superseded);
    assert!(matches!(fleet.reject_revision(&org(), 9, "operator:eve", "", 8).await, Err(StoreError::Missing { .. })));
}

/// What robots are told.
pub async fn a_revision_tells_robots_all_of_it_or_nothing(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    let policy = serde_json::json!({ "routes": [] });
    let labels: BTreeMap<_, _> = [(target_name("r2"), [("site".to_owned(), "rome".to_owned())].into())].into();
    let orders = |targets: &[&str]| FleetOrders {
        labels: labels.clone(),
        slots: vec![deployment("a", targets)],
        policies: vec![(policy.clone(), vec![target_name("r1")])],
        ..FleetOrders::default()
    };
    let read = async |name: &str| stores.targets.target(&org(), &target_name(name)).await.unwrap().unwrap();
    let missing = stores.fleet.apply_revision(&org(), &new(0), &orders(&["r1", "ghost"])).await.unwrap_err();
    assert!(matches!(&missing, StoreError::Missing { what: "robot", name } if name == "ghost"), "{missing}");
    assert_eq!((read("r1").await, read("r2").await), (target("r1"), target("r2")), "labels and slots are as they were");
    assert_eq!(stores.fleet.current_revision(&org()).await.unwrap(), 0);
    assert!(stores.fleet.due_targets(9).await.unwrap().is_empty(), "nothing is declared for them");

    let (_, told) = stores.fleet.apply_revision(&org(), &new(0), &orders(&["r1"])).await.unwrap().unwrap();
    assert_eq!((told.changed, told.deployments.len()), (vec![target_name("r1"), target_name("r2")], 1));
    assert_eq!(read("r2").await.labels["site"], "rome");
    let desired = read("r1").await.desired;
    assert_eq!((desired.slots["default"].digest.as_str(), desired.policy.unwrap().document), ("a", policy.clone()));
    assert!(stores.fleet.due_targets(9).await.unwrap().is_empty(), "all were looked at");

    stores.targets.create_target(&target("r3")).await.unwrap();
    stores.targets.set_labels(&org(), &target_name("r1"), &BTreeMap::new()).await.unwrap();
    let due: Vec<_> = stores.fleet.due_targets(9).await.unwrap().into_iter().map(|due| due.robot.name).collect();
    assert_eq!(due, [target_name("r1"), target_name("r3")]);
    let nobody = BTreeMap::new();
    let late = FleetOrders { slots: vec![deployment("a", &["r3"])], ..FleetOrders::default() };
    assert_eq!(stores.fleet.settle_targets(&org(), 7, &due, &nobody, &late).await.unwrap(), None, "another revision stands");
    assert_eq!(stores.fleet.due_targets(9).await.unwrap().len(), 2);
    let told = stores.fleet.settle_targets(&org(), 1, &due, &nobody, &late).await.unwrap().unwrap();
    assert_eq!((told.changed, read("r3").await.desired.slots.len()), (vec![target_name("r3")], 1));
    assert!(stores.fleet.due_targets(9).await.unwrap().is_empty());
    stores.targets.revoke_target(&org(), &target_name("r3"), 8).await.unwrap();
    stores.targets.create_target(&target("r3")).await.unwrap();
    assert_eq!(stores.fleet.due_targets(9).await.unwrap().len(), 1, "who comes back is looked at again");
}

/// Robots that come or are labelled while somebody plans.
pub async fn what_was_planned_over_other_robots_does_not_happen(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    let labels = |site: &str| BTreeMap::from([("site".to_owned(), site.to_owned())]);
    let over = |robots: &[(&str, &str)]| FleetOrders {
        slots: vec![deployment("a", &["r1"])],
        labels: [(target_name("r1"), labels("declared"))].into(),
        over: Some(robots.iter().map(|(name, site)| (target_name(name), labels(site))).collect()),
        ..FleetOrders::default()
    };
    for name in ["r1", "r2"] {
        stores.targets.set_labels(&org(), &target_name(name), &labels("rome")).await.unwrap();
    }
    let (fleet, planned) = (&stores.fleet, over(&[("r1", "rome"), ("r2", "rome")]));
    stores.targets.set_labels(&org(), &target_name("r2"), &labels("oslo")).await.unwrap();
    assert_eq!(fleet.apply_revision(&org(), &new(0), &planned).await.unwrap(), None, "one was labelled");
    stores.targets.create_target(&target("r3")).await.unwrap();
    let of_three = over(&[("r1", "rome"), ("r2", "oslo"), ("r3", "rome")]);
    assert_eq!(fleet.apply_revision(&org(), &new(0), &of_three).await.unwrap(), None, "one has other labels");
    assert_eq!(fleet.current_revision(&org()).await.unwrap(), 0, "nothing happened");
    let of_two = over(&[("r1", "rome"), ("r2", "oslo")]);
    assert!(fleet.apply_revision(&org(), &new(0), &of_two).await.unwrap().is_some());
    let due = async || fleet.due_targets(9).await.unwrap().into_iter().map(|due| due.robot.name).collect::<Vec<_>>();
    assert_eq!(due().await, [target_name("r3")], "who came meanwhile is looked at");
    fleet.settle_targets(&org(), 1, &due().await, &BTreeMap::new(), &FleetOrders::default()).await.unwrap().unwrap();
    let of_two = over(&[("r1", "declared"), ("r2", "oslo")]);
    assert!(fleet.apply_revision(&org(), &new(1), &of_two).await.unwrap().is_some());
    assert_eq!(due().await, [target_name("r3")], "also when what stood before was given to it meanwhile");
    stores.targets.revoke_target(&org(), &target_name("r3"), 8).await.unwrap();
    let of_three = over(&[("r1", "declared"), ("r2", "oslo"), ("r3", "berlin")]);
    assert_eq!(fleet.apply_revision(&org(), &new(2), &of_three).await.unwrap(), None, "one is gone");

    // The same of those that come late; who else there is matters to nobody.
    let read = async || stores.targets.target(&org(), &target_name("r1")).await.unwrap().unwrap();
    let (due, nobody) = ([target_name("r1")], BTreeMap::new());
    stores.targets.set_labels(&org(), &target_name("r1"), &labels("oslo")).await.unwrap();
    let late = over(&[("r1", "declared")]);
    assert_eq!(fleet.settle_targets(&org(), 2, &due, &nobody, &late).await.unwrap(), None);
    assert_eq!((read().await.labels, fleet.due_targets(9).await.unwrap().len()), (labels("oslo"), 1), "what an operator says stands");
    assert!(fleet.settle_targets(&org(), 2, &due, &nobody, &over(&[("r1", "oslo")])).await.unwrap().is_some());
}

/// Robots that wait for some of what is declared.
pub async fn a_robot_stays_due_for_what_it_waits_for(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    let (fleet, nothing) = (&stores.fleet, FleetOrders::default());
    fleet.apply_revision(&org(), &new(0), &nothing).await.unwrap();
    let anew = async |name: &str| stores.targets.set_labels(&org(), &target_name(name), &BTreeMap::new()).await.unwrap();
    let due = async || -> Vec<_> {
        let due = fleet.due_targets(9).await.unwrap().into_iter();
        due.map(|due| (due.robot.name.to_string(), due.waits_for.map(|parts| parts.into_iter().collect::<Vec<_>>()))).collect()
    };
    anew("r1").await;
    anew("r2").await;
    assert_eq!(due().await, [("r1".to_owned(), None), ("r2".to_owned(), None)]);
    let waiting = [(target_name("r1"), ["slots.reader".to_owned()].into())].into();
    fleet.settle_targets(&org(), 1, &[target_name("r2")], &waiting, &nothing).await.unwrap().unwrap();
    assert_eq!(due().await, [("r1".to_owned(), Some(vec!["slots.reader".to_owned()]))]);
    anew("r1").await;
    assert_eq!(due().await, [("r1".to_owned(), None)], "labelled anew, all of it is looked at");
    fleet.settle_targets(&org(), 1, &[], &waiting, &nothing).await.unwrap().unwrap();
    fleet.settle_targets(&org(), 1, &[target_name("r1")], &BTreeMap::new(), &nothing).await.unwrap().unwrap();
    anew("r1").await;
    assert_eq!(due().await, [("r1".to_owned(), None)], "what it waited for once is forgotten");
    fleet.settle_targets(&org(), 1, &[], &waiting, &nothing).await.unwrap().unwrap();
    fleet.apply_revision(&org(), &new(1), &nothing).await.unwrap();
    assert!(due().await.is_empty(), "another revision looks at all");
    stores.targets.revoke_target(&org(), &target_name("r1"), 8).await.unwrap();
    stores.targets.create_target(&target("r1")).await.unwrap();
    assert_eq!(due().await, [("r1".to_owned(), None)]);
}
