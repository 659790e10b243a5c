//! Promises about operators, and about finding robots.

use edgeflow_core::{OperatorName, operator::Operator, target::Target};

use super::fixtures::{deployment, org, other_org, target, target_name};
use crate::{StoreError, Stores};

/// Operators.
pub async fn an_operator_comes_and_goes(stores: Stores) {
    let ada = |hash: u8| Operator {
        organisation: org(),
        name: OperatorName::new("ada").unwrap(),
        token_hash: [hash; 32],
        created_at_us: i64::from(hash),
        created_by: "administrator".into(),
    };
    let operators = stores.operators;
    operators.create_operator(&ada(1)).await.unwrap();
    assert!(matches!(operators.create_operator(&ada(2)).await, Err(StoreError::Taken { what: "operator", .. })));
    assert_eq!(operators.operator_anywhere(&ada(1).name).await.unwrap(), Some(ada(1)));
    assert_eq!(operators.operators(&org()).await.unwrap(), [ada(1)]);
    assert!(operators.operators(&other_org()).await.unwrap().is_empty());
    assert!(!operators.remove_operator(&other_org(), &ada(1).name, 5).await.unwrap());
    assert!(operators.remove_operator(&org(), &ada(1).name, 5).await.unwrap());
    assert!(!operators.remove_operator(&org(), &ada(1).name, 6).await.unwrap(), "once");
    assert_eq!(operators.operator_anywhere(&ada(1).name).await.unwrap(), None);
    let theirs = Operator { organisation: other_org(), ..ada(3) };
    assert!(matches!(operators.create_operator(&theirs).await, Err(StoreError::Taken { .. })), "the name stands for a person here");
    operators.create_operator(&ada(4)).await.unwrap();
    assert_eq!(operators.operators(&org()).await.unwrap(), [ada(4)]);
}

/// Robots by many names, and their labels.
pub async fn robots_are_read_by_name_and_labelled(stores: Stores) {
    stores.server.identity(1).await.unwrap();
    for name in ["r2", "r1", "r3"] {
        stores.targets.create_target(&target(name)).await.unwrap();
    }
    let names = ["r3", "ghost", "r1"].map(target_name);
    assert_eq!(stores.targets.targets_named(&org(), &names).await.unwrap(), [target("r1"), target("r3")]);
    assert!(stores.targets.targets_named(&other_org(), &names).await.unwrap().is_empty());
    stores.deployments.create_deployment(&org(), &deployment("a", &["r1"])).await.unwrap();
    let labels = [("site".to_owned(), "rome".to_owned())].into();
    let labelled = stores.targets.set_labels(&org(), &target_name("r1"), &labels).await.unwrap();
    assert_eq!((&labelled.labels, labelled.desired.version.generation), (&labels, 1), "what it shall be is not touched");
    assert_eq!(stores.targets.target(&org(), &target_name("r1")).await.unwrap(), Some(labelled));
    assert_eq!(stores.targets.target(&org(), &target_name("r2")).await.unwrap(), Some(Target { ..target("r2") }));
    for (organisation, name) in [(org(), "ghost"), (other_org(), "r1")] {
        let missing = stores.targets.set_labels(&organisation, &target_name(name), &labels).await;
        assert!(matches!(missing, Err(StoreError::Missing { what: "robot", .. })), "{name}");
    }
}
