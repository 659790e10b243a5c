//! Certificates and the tokens that get them.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, TargetName,
    identity::{Bootstrap, Certificate, Fingerprint},
};

use crate::StoreError;

/// Certificates and the tokens that get them. [`TargetStore::revoke_target`](crate::TargetStore::revoke_target) revokes
/// every certificate of the robot and forgets its bootstrap tokens, in one step with its token.
#[async_trait]
pub trait IdentityStore: Send + Sync {
    /// Keeps a bootstrap token, and forgets those that have expired by `now_us`. `Missing` when there is no such robot.
    async fn create_bootstrap(&self, bootstrap: &Bootstrap, now_us: i64) -> Result<(), StoreError>;

    /// The token with this digest, if it was neither used nor forgotten. It may have expired.
    async fn bootstrap(&self, digest: [u8; 32]) -> Result<Option<Bootstrap>, StoreError>;

    /// Uses the token up and puts the certificate on record, both or nothing: `false` when the token was used before, has
    /// expired by `now_us`, or is another robot's.
    async fn redeem_bootstrap(&self, digest: [u8; 32], now_us: i64, certificate: &Certificate) -> Result<bool, StoreError>;

    /// Puts a certificate on record. `Missing` when there is no such robot (any more).
    async fn create_certificate(&self, certificate: &Certificate) -> Result<(), StoreError>;

    /// What is on record of a certificate.
    async fn certificate(&self, fingerprint: Fingerprint) -> Result<Option<Certificate>, StoreError>;

    /// A robot's certificates, the newest first, also of one that was revoked.
    async fn certificates(&self, organisation: &OrganisationId, name: &TargetName) -> Result<Vec<Certificate>, StoreError>;

    /// The newest certificate of each robot, where that expires before `before_us`; the first to expire first.
    async fn expiring_certificates(&self, before_us: i64) -> Result<Vec<Certificate>, StoreError>;

    /// Revoked certificates that would not have expired by `now_us`, by robot.
    async fn revoked_certificates(&self, now_us: i64) -> Result<Vec<Certificate>, StoreError>;
}
