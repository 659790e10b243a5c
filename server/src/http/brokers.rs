//! What an external broker asks for: `/brokers/certificates`, `/revoked.pem`.

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use serde::{Deserialize, Serialize};

use crate::http::{
    Shared,
    auth::Caller,
    error::{ErrorBody, HttpError},
    extract::Body,
};

/// A broker that wants its certificate.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrokerRequest {
    /// Names and addresses under which it is reached.
    names: Vec<String>,
    /// PKCS#10 certificate request for an ECDSA key on P-256, PEM. The names in it are not read.
    csr: String,
}

/// A broker's certificate, and what goes with it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BrokerResponse {
    /// Its certificate, PEM.
    certificate: String,
    /// The control plane's CA certificate, PEM.
    ca: String,
    /// The list of revoked certificates, PEM.
    revoked: String,
    /// When the certificate expires, microseconds since the Unix epoch.
    not_after_us: i64,
}

/// Signs the certificate of an external MQTT broker.
#[utoipa::path(post, path = "/api/v1/brokers/certificates", tag = "server", request_body = BrokerRequest, responses(
    (status = 201, body = BrokerResponse), (status = 400, body = ErrorBody), (status = 403, body = ErrorBody)))]
pub(crate) async fn certify(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Body(request): Body<BrokerRequest>,
) -> Result<(StatusCode, Json<BrokerResponse>), HttpError> {
    let made = shared.app.certify_broker(&who, &request.names, &request.csr).await?;
    let response = BrokerResponse { certificate: made.certificate, ca: made.ca, revoked: made.revoked, not_after_us: made.not_after_us };
    Ok((StatusCode::CREATED, Json(response)))
}

/// Revoked certificates that have not expired (X.509 CRL): serial numbers, no names, hence for anybody.
#[utoipa::path(get, path = "/api/v1/revoked.pem", tag = "server", security(()), responses(
    (status = 200, description = "PEM", content_type = "application/x-pem-file")))]
pub(crate) async fn revoked(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/x-pem-file")], shared.app.authority().revoked_pem())
}
