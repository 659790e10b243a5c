//! `/audit`: who did what.

use axum::{Json, extract::State};
use edgeflow_core::{Page, audit::AuditRecord};

use crate::http::{
    Shared,
    auth::Caller,
    error::HttpError,
    extract::{PageQuery, Params},
};

/// The audit trail, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(PageQuery), responses((status = 200, body = Page<AuditRecord>)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    Caller(who): Caller,
    Params(page): Params<PageQuery>,
) -> Result<Json<Page<AuditRecord>>, HttpError> {
    Ok(Json(shared.app.audit(&who, page.number()?, page.limit()?).await?))
}
