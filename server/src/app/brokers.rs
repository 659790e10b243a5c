//! What an external broker needs of us, and we of it: its certificate, who may come there, and who no longer may.

use edgeflow_core::{
    OrganisationId, Principal, RobotId, TargetName,
    principal::{Action, Resource},
};
use edgeflow_store::Stores;
use std::{collections::BTreeSet, path::Path};

use crate::app::{
    App, AppError, CONTROL_PLANE, ClientIdentity,
    authority::{Authority, plain, well_formed_name},
    identities::stands,
};

/// Most names of one broker.
const MAX_NAMES: usize = 32;

/// What makes a broker the one that robots look for.
#[derive(Debug, Clone)]
pub struct BrokerCertificate {
    /// Its certificate, PEM.
    pub certificate: String,
    /// The authority's certificate, PEM.
    pub ca: String,
    /// The list of revoked certificates, PEM.
    pub revoked: String,
    /// When the certificate expires, microseconds since the Unix epoch.
    pub not_after_us: i64,
}

impl App {
    /// Signs the request of a broker (PKCS#10, PEM) for the names and addresses under which it is reached.
    pub async fn certify_broker(&self, principal: &Principal, names: &[String], request_pem: &str) -> Result<BrokerCertificate, AppError> {
        self.permit(principal, Action::CertifyBroker, Resource::Organisation).await?;
        if names.is_empty() || names.len() > MAX_NAMES {
            return Err(AppError::Invalid(format!(
                "a broker has 1 to {MAX_NAMES} names: give those that robots write in front of the port"
            )));
        }
        if let Some(bad) = names.iter().find(|name| !well_formed_name(name)) {
            return Err(AppError::Invalid(format!("{bad:?} is neither a host name nor an address")));
        }
        let (issued, not_after_us) = self.authority.certify_broker(names, request_pem, self.now_us())?;
        let detail = serde_json::json!({
            "names": names, "serial": issued.serial, "fingerprint": issued.fingerprint.to_string(), "not_after_us": not_after_us,
        });
        self.record(principal, Action::CertifyBroker, "brokers", detail).await;
        let (ca, revoked) = (self.authority.ca_pem().to_owned(), self.authority.revoked_pem());
        Ok(BrokerCertificate { certificate: issued.pem, ca, revoked, not_after_us })
    }

    /// The robot that a broker vouches for, which sees nothing of a certificate but its common name: it has one that stands, and none
    /// that is revoked and could still be shown.
    pub(crate) async fn robot_by_common_name(&self, name: &str) -> Result<Option<RobotId>, AppError> {
        let Some(robot) = self.robot_named(name).await? else { return Ok(None) };
        let certificates = self.stores.identities.certificates(&robot.organisation, &robot.name).await?;
        Ok(stands(&certificates, self.now_us()).then_some(robot))
    }

    /// Names under which somebody may still come with a certificate that is revoked.
    pub(crate) async fn revoked_names(&self) -> Result<BTreeSet<TargetName>, AppError> {
        let revoked = self.stores.identities.revoked_certificates(self.now_us()).await?;
        Ok(revoked.into_iter().map(|certificate| certificate.target.name).collect())
    }

    /// A key and certificate for one connection of ours to a broker: in our own name, or in that of a robot whose place we take.
    pub(crate) fn identity_towards_broker(&self, robot: Option<&str>) -> Result<ClientIdentity, AppError> {
        self.authority.client_identity(robot.unwrap_or(CONTROL_PLANE), self.now_us())
    }

    /// Makes the list of revoked certificates anew. A failure is told in the log: what was revoked is revoked without it, here.
    pub(crate) async fn list_revoked(&self) {
        let now_us = self.now_us();
        let list = async {
            let revoked = self.stores.identities.revoked_certificates(now_us).await?;
            let authority = self.authority.clone();
            let written = tokio::task::spawn_blocking(move || authority.list_revoked(&revoked, now_us));
            written.await.map_err(AppError::artifact("writing the list of revoked certificates"))?
        };
        if let Err(error) = list.await {
            tracing::error!(%error, "brokers are not told of a revocation: the list of revoked certificates was not written");
        }
    }
}

/// Revokes the robots whose certificates are on a list that this authority made, and that the store holds for good: what was revoked
/// after the backup that the store was put back from. Returns their names.
pub(super) async fn revoke_listed(stores: &Stores, authority: &Authority, file: &Path, now_us: i64) -> Result<Vec<TargetName>, AppError> {
    let pem = std::fs::read_to_string(file).map_err(AppError::artifact("reading the list of revoked certificates"))?;
    let list = authority.read_revoked(&pem)?;
    let organisation = OrganisationId::first();
    let (mut revoked, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = stores.targets.targets(&organisation, after.as_deref(), 1_000).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id.name.to_string());
        for target in page {
            let certificates = stores.identities.certificates(&organisation, &target.id.name).await?;
            let listed = certificates.iter().any(|it| it.revoked_at_us.is_none() && list.serials.contains_key(&plain(&it.serial)));
            if listed && stores.targets.revoke_target(&organisation, &target.id.name, now_us).await? {
                revoked.push(target.id.name);
            }
        }
    }
    authority.adopt_revoked(&list, now_us)?;
    Ok(revoked)
}
