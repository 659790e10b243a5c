//! Robots' certificates: `/targets/{target}/bootstrap`, `/targets/{target}/certificates`, `/enroll`.

use axum::{Json, extract::State, http::StatusCode};
use edgeflow_core::{TargetName, identity::CertificateView};
use serde::{Deserialize, Serialize};

use crate::{
    app::IssuedIdentity,
    http::{
        Shared,
        auth::Caller,
        error::{ErrorBody, HttpError},
        extract::{Body, Named},
    },
};

/// A bootstrap token to be made.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BootstrapRequest {
    /// Seconds it lives, at most 86400; 900 by default.
    #[serde(default)]
    lifetime_s: Option<u64>,
}

/// A bootstrap token that was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BootstrapResponse {
    /// The token, shown this once: `{robot}.{secret}.{ca_fingerprint}`, for `edgeflow enroll`.
    token: String,
    /// It opens nothing from then on, microseconds since the Unix epoch.
    expires_at_us: i64,
    /// SHA-256 of the control plane's CA certificate, hex: what the robot pins before it first connects.
    ca_fingerprint: String,
}

/// A robot that enrols.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrollRequest {
    /// Its bootstrap token.
    token: String,
    /// PKCS#10 certificate request for an ECDSA key on P-256, PEM. The name in it is not read.
    csr: String,
}

/// A robot that renews its certificate.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewRequest {
    /// PKCS#10 certificate request for a new ECDSA key on P-256, PEM.
    csr: String,
}

/// A public key that signs documents to robots.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DocumentKeyView {
    /// The first 16 hex digits of its SHA-256.
    key_id: String,
    /// The Ed25519 public key, base64.
    public_key: String,
}

/// Who a robot is from now on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct IdentityResponse {
    /// Its name.
    name: String,
    /// Its certificate, PEM.
    certificate: String,
    /// The control plane's CA certificate, PEM.
    ca: String,
    /// When the certificate expires, microseconds since the Unix epoch.
    not_after_us: i64,
    /// Keys that sign documents to robots.
    document_keys: Vec<DocumentKeyView>,
}

impl From<IssuedIdentity> for IdentityResponse {
    fn from(issued: IssuedIdentity) -> Self {
        let keys = issued.document_keys.into_iter();
        Self {
            name: issued.name.to_string(),
            certificate: issued.certificate,
            ca: issued.ca,
            not_after_us: issued.not_after_us,
            document_keys: keys.map(|key| DocumentKeyView { key_id: key.key_id, public_key: key.public_key }).collect(),
        }
    }
}

/// Makes a one-time token with which the robot gets its certificate.
#[utoipa::path(post, path = "/api/v1/targets/{target}/bootstrap", tag = "targets", params(("target" = String, Path)),
    request_body = BootstrapRequest, responses(
    (status = 201, body = BootstrapResponse), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn bootstrap(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Body(request): Body<BootstrapRequest>,
) -> Result<(StatusCode, Json<BootstrapResponse>), HttpError> {
    let made = shared.app.bootstrap_target(&who, &target, request.lifetime_s).await?;
    let ca_fingerprint = made.ca_fingerprint.to_string();
    Ok((StatusCode::CREATED, Json(BootstrapResponse { token: made.token, expires_at_us: made.expires_at_us, ca_fingerprint })))
}

/// A bootstrap token and a certificate request to a certificate, once.
#[utoipa::path(post, path = "/api/v1/enroll", tag = "targets", security(()), request_body = EnrollRequest, responses(
    (status = 201, body = IdentityResponse), (status = 400, body = ErrorBody), (status = 401, body = ErrorBody)))]
pub(crate) async fn enroll(
    State(shared): State<Shared>,
    Body(request): Body<EnrollRequest>,
) -> Result<(StatusCode, Json<IdentityResponse>), HttpError> {
    let issued = shared.app.enrol_identity(&request.token, &request.csr).await?;
    Ok((StatusCode::CREATED, Json(issued.into())))
}

/// Another certificate for a robot that proved who it is; the one before stays good until it expires.
#[utoipa::path(post, path = "/api/v1/targets/{target}/certificates", tag = "targets", params(("target" = String, Path)),
    request_body = RenewRequest, responses(
    (status = 201, body = IdentityResponse), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(crate) async fn renew(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
    Body(request): Body<RenewRequest>,
) -> Result<(StatusCode, Json<IdentityResponse>), HttpError> {
    let issued = shared.app.renew_identity(&who, &target, &request.csr).await?;
    Ok((StatusCode::CREATED, Json(issued.into())))
}

/// A robot's certificates, the newest first.
#[utoipa::path(get, path = "/api/v1/targets/{target}/certificates", tag = "targets", params(("target" = String, Path)), responses(
    (status = 200, body = Vec<CertificateView>), (status = 404, body = ErrorBody)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Named(target): Named<TargetName>,
) -> Result<Json<Vec<CertificateView>>, HttpError> {
    Ok(Json(shared.app.certificates(&who, &target).await?))
}
