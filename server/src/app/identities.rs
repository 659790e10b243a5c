//! Robots' certificates: got for a one-time token, renewed over themselves, judged at each connection.

use edgeflow_core::{
    OrganisationId, Principal, RobotId, TargetName,
    identity::{self, Bootstrap, CertificateView, Fingerprint, Invalid, Presented},
    principal::{Action, Resource},
};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::broadcast;

use crate::app::{
    App, AppError,
    auth::{hash, random_hex},
    authority::{Authority, DocumentKey, record},
};

/// A bootstrap token, shown this once.
#[derive(Debug, Clone)]
pub struct BootstrapToken {
    /// `{robot}.{secret}.{fingerprint of the authority}`: what a robot needs to know before it first speaks to us.
    pub token: String,
    /// It opens nothing from then on, microseconds since the Unix epoch.
    pub expires_at_us: i64,
    /// SHA-256 of the authority's certificate.
    pub ca_fingerprint: Fingerprint,
}

/// Who a robot is from now on.
#[derive(Debug, Clone)]
pub struct IssuedIdentity {
    /// Its name.
    pub name: TargetName,
    /// Its certificate, PEM.
    pub certificate: String,
    /// The authority's certificate, PEM.
    pub ca: String,
    /// When the certificate expires, microseconds since the Unix epoch.
    pub not_after_us: i64,
    /// Keys that sign documents to robots.
    pub document_keys: Vec<DocumentKey>,
}

impl App {
    /// The control plane's own authority.
    pub fn authority(&self) -> &Arc<Authority> {
        &self.authority
    }

    /// Robots that got an identity: a certificate for a bootstrap token. A receiver that lags re-reads every robot.
    pub fn enrolments(&self) -> broadcast::Receiver<RobotId> {
        self.enrolled.subscribe()
    }

    /// Makes a one-time token that gets a robot its certificate.
    pub async fn bootstrap_target(
        &self,
        principal: &Principal,
        name: &TargetName,
        lifetime_s: Option<u64>,
    ) -> Result<BootstrapToken, AppError> {
        self.permit(principal, Action::BootstrapTarget, Resource::Target(name.clone())).await?;
        let now_us = self.now_us();
        let expires_at_us = identity::bootstrap_expiry(now_us, lifetime_s)?;
        let secret = format!("{name}.{}", random_hex()?);
        let target = App::robot_id(&principal.organisation, name);
        self.stores.identities.create_bootstrap(&Bootstrap { digest: hash(&secret), target, expires_at_us }, now_us).await?;
        let detail = serde_json::json!({ "expires_at_us": expires_at_us });
        self.record(principal, Action::BootstrapTarget, &format!("target/{name}"), detail).await;
        let ca_fingerprint = self.authority.fingerprint();
        Ok(BootstrapToken { token: format!("{secret}.{ca_fingerprint}"), expires_at_us, ca_fingerprint })
    }

    /// Gives the robot a bootstrap token was made for its certificate, once. `token` may hold the fingerprint or not.
    pub async fn enrol_identity(&self, token: &str, request_pem: &str) -> Result<IssuedIdentity, AppError> {
        let now_us = self.now_us();
        let mut parts = token.trim().splitn(3, '.');
        let (name, secret) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let digest = hash(&format!("{name}.{secret}"));
        let found = self.stores.identities.bootstrap(digest).await?.filter(|found| found.expires_at_us > now_us);
        let bootstrap = found.ok_or(AppError::BadBootstrap)?;
        let (issued, not_after_us, record) = self.issue(&bootstrap.target, request_pem, now_us)?;
        if !self.stores.identities.redeem_bootstrap(digest, now_us, &record).await? {
            return Err(AppError::BadBootstrap);
        }
        self.note_issued(&bootstrap.target, &record, "bootstrap token").await;
        // An error means that nobody waits for robots.
        drop(self.enrolled.send(bootstrap.target.clone()));
        Ok(self.identity_of(bootstrap.target.name, issued, not_after_us))
    }

    /// Gives a robot that proved who it is another certificate, for another key.
    pub async fn renew_identity(&self, principal: &Principal, name: &TargetName, request_pem: &str) -> Result<IssuedIdentity, AppError> {
        self.permit(principal, Action::IssueCertificate, Resource::Target(name.clone())).await?;
        let target = App::robot_id(&principal.organisation, name);
        let (issued, not_after_us, record) = self.issue(&target, request_pem, self.now_us())?;
        self.stores.identities.create_certificate(&record).await?;
        self.note_issued(&target, &record, "its certificate").await;
        Ok(self.identity_of(target.name, issued, not_after_us))
    }

    /// A robot's certificates, the newest first.
    pub async fn certificates(&self, principal: &Principal, name: &TargetName) -> Result<Vec<CertificateView>, AppError> {
        let robot = self.readable(principal, name).await?;
        let certificates = self.stores.identities.certificates(&robot.organisation, &robot.name).await?;
        Ok(certificates.iter().map(CertificateView::from).collect())
    }

    /// The robot that a certificate proves. Our authority signed it: the handshake checked that.
    pub async fn authenticate_certificate(&self, presented: &Presented) -> Result<Result<RobotId, Invalid>, AppError> {
        let record = self.stores.identities.certificate(presented.fingerprint).await?;
        if let Err(invalid) = identity::judge(presented, record.as_ref(), self.now_us()) {
            return Ok(Err(invalid));
        }
        let Ok(name) = presented.name.parse::<TargetName>() else { return Ok(Err(Invalid::Unknown)) };
        let target = self.stores.targets.target_anywhere(&name).await?;
        Ok(target.map(|target| target.id).ok_or(Invalid::Unknown))
    }

    /// Robots that a door may let in which sees nothing of a certificate but its common name: those that have one that stands,
    /// and none that is revoked and could still be shown.
    pub async fn robots_by_common_name(&self) -> Result<BTreeSet<TargetName>, AppError> {
        let (organisation, now_us) = (OrganisationId::first(), self.now_us());
        let mut robots = BTreeSet::new();
        let mut after: Option<String> = None;
        loop {
            let page = self.stores.targets.targets(&organisation, after.as_deref(), 1_000).await?;
            let Some(last) = page.last() else { return Ok(robots) };
            after = Some(last.id.name.to_string());
            for target in page {
                let certificates = self.stores.identities.certificates(&organisation, &target.id.name).await?;
                if stands(&certificates, now_us) {
                    robots.insert(target.id.name);
                }
            }
        }
    }

    /// Whether such a door may let this robot in.
    pub(crate) async fn stands_by_common_name(&self, robot: &RobotId) -> Result<bool, AppError> {
        let certificates = self.stores.identities.certificates(&robot.organisation, &robot.name).await?;
        Ok(stands(&certificates, self.now_us()))
    }

    /// Makes our listeners' certificate anew before it expires. Whether it did.
    pub fn refresh_authority(&self) -> Result<bool, AppError> {
        self.authority.refresh(self.now_us())
    }

    /// Counts robots whose certificate nears its end and was not renewed, and names them in the log.
    pub async fn look_at_certificates(&self) -> Result<(), AppError> {
        let now_us = self.now_us();
        let expiring = self.stores.identities.expiring_certificates(identity::expiring_before(now_us)).await?;
        self.metrics.certificates_expiring.set(i64::try_from(expiring.len()).unwrap_or(i64::MAX));
        for certificate in &expiring {
            let hours = certificate.not_after_us.saturating_sub(now_us) / 3_600_000_000;
            tracing::warn!(
                robot.name = certificate.target.as_str(),
                hours_left = hours,
                "a robot's certificate was not renewed and expires"
            );
        }
        Ok(())
    }

    fn issue(&self, target: &RobotId, request_pem: &str, now_us: i64) -> Result<(String, i64, identity::Certificate), AppError> {
        let (from_us, not_after_us) = identity::validity(now_us);
        let issued = self.authority.issue(target.as_str(), request_pem, from_us, not_after_us)?;
        let record = record(&issued, target.clone(), now_us, not_after_us);
        Ok((issued.pem, not_after_us, record))
    }

    async fn note_issued(&self, target: &RobotId, certificate: &identity::Certificate, by: &str) {
        let principal = Principal::robot(target.organisation.clone(), target.name.clone());
        let detail = serde_json::json!({
            "fingerprint": certificate.fingerprint.to_string(), "not_after_us": certificate.not_after_us, "by": by,
        });
        self.record(&principal, Action::IssueCertificate, &format!("target/{}", target.name), detail).await;
    }

    fn identity_of(&self, name: TargetName, certificate: String, not_after_us: i64) -> IssuedIdentity {
        let (ca, document_keys) = (self.authority.ca_pem().to_owned(), self.authority.document_keys());
        IssuedIdentity { name, certificate, ca, not_after_us, document_keys }
    }
}

/// Whether a name says enough: one of its certificates stands, and none is revoked and could still be shown.
pub(super) fn stands(certificates: &[identity::Certificate], now_us: i64) -> bool {
    let mut alive = certificates.iter().filter(|certificate| certificate.not_after_us > now_us).peekable();
    alive.peek().is_some() && alive.all(|certificate| certificate.revoked_at_us.is_none())
}
