//! Promises about certificates and the tokens that get them.

use edgeflow_core::identity::{Bootstrap, Certificate, Fingerprint};

use super::fixtures::{org, other_org, robot, target, target_name};
use crate::{StoreError, Stores};

async fn enrol(stores: &Stores, names: &[&str]) {
    stores.server.identity(1).await.unwrap();
    for name in names {
        stores.targets.create_target(&target(name)).await.unwrap();
    }
}

fn bootstrap(name: &str, digest: u8) -> Bootstrap {
    Bootstrap { digest: [digest; 32], target: robot(name), expires_at_us: 100 }
}

fn certificate(name: &str, fingerprint: u8) -> Certificate {
    Certificate {
        fingerprint: Fingerprint([fingerprint; 32]),
        target: robot(name),
        serial: format!("{fingerprint:02x}"),
        issued_at_us: i64::from(fingerprint),
        not_after_us: 1_000,
        revoked_at_us: None,
    }
}

/// Tokens.
pub async fn a_bootstrap_token_is_redeemed_once(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    let store = stores.identities;
    store.create_bootstrap(&bootstrap("r1", 1), 5).await.unwrap();
    assert_eq!(store.bootstrap([1; 32]).await.unwrap(), Some(bootstrap("r1", 1)));
    assert_eq!(store.bootstrap([2; 32]).await.unwrap(), None);
    let stranger = store.create_bootstrap(&bootstrap("ghost", 3), 5).await;
    assert!(matches!(stranger, Err(StoreError::Missing { what: "robot", .. })), "{stranger:?}");
    assert!(!store.redeem_bootstrap([1; 32], 10, &certificate("r2", 9)).await.unwrap(), "another robot's");
    assert_eq!(store.certificate(Fingerprint([9; 32])).await.unwrap(), None, "and nothing is on record");
    assert!(store.redeem_bootstrap([1; 32], 10, &certificate("r1", 8)).await.unwrap());
    assert!(!store.redeem_bootstrap([1; 32], 11, &certificate("r1", 7)).await.unwrap(), "once");
    assert_eq!(store.bootstrap([1; 32]).await.unwrap(), None);
    assert_eq!(store.certificates(&org(), &target_name("r1")).await.unwrap(), [certificate("r1", 8)]);
}

/// Two at the same moment.
pub async fn a_race_for_a_bootstrap_token_has_one_winner(stores: Stores) {
    enrol(&stores, &["r1"]).await;
    for round in 0..20_u8 {
        stores.identities.create_bootstrap(&bootstrap("r1", round), 5).await.unwrap();
        let (one, two) = (certificate("r1", 100 + 2 * round), certificate("r1", 101 + 2 * round));
        let (first, second) = tokio::join!(
            stores.identities.redeem_bootstrap([round; 32], 10, &one),
            stores.identities.redeem_bootstrap([round; 32], 10, &two)
        );
        assert!(first.unwrap() ^ second.unwrap(), "round {round}");
    }
    assert_eq!(stores.identities.certificates(&org(), &target_name("r1")).await.unwrap().len(), 20);
}

/// Tokens that nobody used.
pub async fn a_bootstrap_token_expires_and_is_forgotten(stores: Stores) {
    enrol(&stores, &["r1"]).await;
    let store = stores.identities;
    store.create_bootstrap(&bootstrap("r1", 1), 5).await.unwrap();
    assert!(!store.redeem_bootstrap([1; 32], 100, &certificate("r1", 8)).await.unwrap(), "expired");
    assert_eq!(store.certificate(Fingerprint([8; 32])).await.unwrap(), None);
    store.create_bootstrap(&Bootstrap { expires_at_us: 300, ..bootstrap("r1", 2) }, 200).await.unwrap();
    assert_eq!(store.bootstrap([1; 32]).await.unwrap(), None, "forgotten");
    assert!(store.bootstrap([2; 32]).await.unwrap().is_some());
}

/// Certificates.
pub async fn certificates_are_kept_and_go_with_their_robot(stores: Stores) {
    enrol(&stores, &["r1", "r2"]).await;
    let store = &stores.identities;
    for (name, fingerprint) in [("r1", 1), ("r1", 2), ("r2", 3)] {
        store.create_certificate(&certificate(name, fingerprint)).await.unwrap();
    }
    assert!(matches!(store.create_certificate(&certificate("ghost", 4)).await, Err(StoreError::Missing { .. })));
    store.create_bootstrap(&bootstrap("r1", 1), 5).await.unwrap();
    assert_eq!(store.certificate(Fingerprint([2; 32])).await.unwrap(), Some(certificate("r1", 2)));
    assert_eq!(store.certificates(&org(), &target_name("r1")).await.unwrap(), [certificate("r1", 2), certificate("r1", 1)]);
    assert!(store.certificates(&other_org(), &target_name("r1")).await.unwrap().is_empty());
    assert!(store.revoked_certificates(0).await.unwrap().is_empty());

    assert!(stores.targets.revoke_target(&org(), &target_name("r1"), 50).await.unwrap());
    let revoked = |fingerprint| Certificate { revoked_at_us: Some(50), ..certificate("r1", fingerprint) };
    assert_eq!(store.certificates(&org(), &target_name("r1")).await.unwrap(), [revoked(2), revoked(1)]);
    assert_eq!(store.certificate(Fingerprint([3; 32])).await.unwrap(), Some(certificate("r2", 3)));
    assert_eq!(store.bootstrap([1; 32]).await.unwrap(), None);
    assert!(!store.redeem_bootstrap([1; 32], 10, &certificate("r1", 9)).await.unwrap());
    assert!(matches!(store.create_certificate(&certificate("r1", 9)).await, Err(StoreError::Missing { .. })), "no renewal");
    assert_eq!(store.revoked_certificates(999).await.unwrap(), [revoked(1), revoked(2)]);
    assert!(store.revoked_certificates(1_000).await.unwrap().is_empty(), "expired ones need no list");

    stores.targets.create_target(&target("r1")).await.unwrap();
    assert_eq!(store.certificates(&org(), &target_name("r1")).await.unwrap(), [revoked(2), revoked(1)], "the old ones stay revoked");
}

/// Certificates near their end.
pub async fn certificates_that_expire_and_were_not_renewed_are_found(stores: Stores) {
    enrol(&stores, &["r1", "r2", "r3"]).await;
    let store = &stores.identities;
    let until = |name, fingerprint, not_after_us| Certificate { not_after_us, ..certificate(name, fingerprint) };
    for (name, fingerprint, not_after_us) in [("r1", 1, 100), ("r1", 2, 900), ("r2", 3, 200), ("r3", 4, 150), ("r3", 5, 180)] {
        store.create_certificate(&until(name, fingerprint, not_after_us)).await.unwrap();
    }
    assert!(store.expiring_certificates(180).await.unwrap().is_empty(), "r1 has a later one, and the others' last is not near");
    assert_eq!(store.expiring_certificates(201).await.unwrap(), [until("r3", 5, 180), until("r2", 3, 200)]);
    stores.targets.revoke_target(&org(), &target_name("r3"), 50).await.unwrap();
    assert_eq!(store.expiring_certificates(1_000).await.unwrap(), [until("r2", 3, 200), until("r1", 2, 900)]);
}
