//! Certificates and bootstrap tokens, in `fleet.db`, so that revoking a robot takes them in the same transaction.

use async_trait::async_trait;
use edgeflow_core::{
    OrganisationId, RobotId, TargetName,
    identity::{Bootstrap, Certificate, Fingerprint},
};
use edgeflow_store::{IdentityStore, StoreError};
use futures::FutureExt;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Fleet,
    connect::failed,
    decode::{get, get_hash, get_name},
};

const LIVE: &str = "SELECT name FROM targets WHERE name = ?1 AND organisation = ?2 AND revoked_at_us IS NULL";
const CERTIFICATE: &str = "SELECT c.*, t.organisation FROM certificates c JOIN targets t ON t.name = c.target WHERE c.fingerprint = ?1";
const CERTIFICATES: &str = "SELECT c.*, t.organisation FROM certificates c JOIN targets t ON t.name = c.target \
     WHERE c.target = ?1 AND t.organisation = ?2 ORDER BY c.issued_at_us DESC, c.fingerprint";
const EXPIRING: &str = "SELECT c.*, t.organisation FROM certificates c JOIN targets t ON t.name = c.target \
     WHERE t.revoked_at_us IS NULL AND c.revoked_at_us IS NULL AND c.not_after_us < ?1 AND NOT EXISTS \
     (SELECT 1 FROM certificates n WHERE n.target = c.target AND n.revoked_at_us IS NULL AND n.not_after_us > c.not_after_us) \
     ORDER BY c.not_after_us, c.target";
const REVOKED: &str = "SELECT c.*, t.organisation FROM certificates c JOIN targets t ON t.name = c.target \
     WHERE c.revoked_at_us IS NOT NULL AND c.not_after_us > ?1 ORDER BY c.target, c.fingerprint";

#[async_trait]
impl IdentityStore for Fleet {
    async fn create_bootstrap(&self, bootstrap: &Bootstrap, now_us: i64) -> Result<(), StoreError> {
        let bootstrap = bootstrap.clone();
        self.0.writer.run(move |connection| keep_bootstrap(connection, bootstrap, now_us).boxed()).await
    }

    async fn bootstrap(&self, digest: [u8; 32]) -> Result<Option<Bootstrap>, StoreError> {
        let row = sqlx::query("SELECT b.*, t.organisation FROM bootstraps b JOIN targets t ON t.name = b.target WHERE b.digest = ?1")
            .bind(digest.to_vec())
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading a bootstrap token"))?;
        let bootstrap = |row: &SqliteRow| {
            Ok(Bootstrap { digest: get_hash(row, "digest")?, target: robot_of(row)?, expires_at_us: get(row, "expires_at_us")? })
        };
        row.as_ref().map(bootstrap).transpose()
    }

    async fn redeem_bootstrap(&self, digest: [u8; 32], now_us: i64, certificate: &Certificate) -> Result<bool, StoreError> {
        let certificate = certificate.clone();
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let used = sqlx::query("DELETE FROM bootstraps WHERE digest = ?1 AND target = ?2 AND expires_at_us > ?3")
                        .bind(digest.to_vec())
                        .bind(certificate.target.as_str())
                        .bind(now_us)
                        .execute(&mut *connection)
                        .await
                        .map_err(failed("using a bootstrap token"))?;
                    if used.rows_affected() != 1 {
                        return Ok(false);
                    }
                    insert(connection, certificate).await?;
                    Ok(true)
                }
                .boxed()
            })
            .await
    }

    async fn create_certificate(&self, certificate: &Certificate) -> Result<(), StoreError> {
        let certificate = certificate.clone();
        self.0.writer.run(move |connection| insert(connection, certificate).boxed()).await
    }

    async fn certificate(&self, fingerprint: Fingerprint) -> Result<Option<Certificate>, StoreError> {
        let row = sqlx::query(CERTIFICATE)
            .bind(fingerprint.0.to_vec())
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading a certificate"))?;
        row.as_ref().map(certificate_of).transpose()
    }

    async fn certificates(&self, organisation: &OrganisationId, name: &TargetName) -> Result<Vec<Certificate>, StoreError> {
        let rows = sqlx::query(CERTIFICATES)
            .bind(name.as_str())
            .bind(organisation.as_str())
            .fetch_all(&self.0.readers)
            .await
            .map_err(failed("listing a robot's certificates"))?;
        rows.iter().map(certificate_of).collect()
    }

    async fn expiring_certificates(&self, before_us: i64) -> Result<Vec<Certificate>, StoreError> {
        let rows =
            sqlx::query(EXPIRING).bind(before_us).fetch_all(&self.0.readers).await.map_err(failed("listing certificates that expire"))?;
        rows.iter().map(certificate_of).collect()
    }

    async fn revoked_certificates(&self, now_us: i64) -> Result<Vec<Certificate>, StoreError> {
        let rows = sqlx::query(REVOKED).bind(now_us).fetch_all(&self.0.readers).await.map_err(failed("listing revoked certificates"))?;
        rows.iter().map(certificate_of).collect()
    }
}

async fn keep_bootstrap(connection: &mut SqliteConnection, bootstrap: Bootstrap, now_us: i64) -> Result<(), StoreError> {
    let keep = failed("keeping a bootstrap token");
    must_be_live(connection, &bootstrap.target).await?;
    let forget = sqlx::query("DELETE FROM bootstraps WHERE expires_at_us <= ?1").bind(now_us);
    forget.execute(&mut *connection).await.map_err(&keep)?;
    sqlx::query("INSERT INTO bootstraps (digest, target, expires_at_us) VALUES (?1, ?2, ?3)")
        .bind(bootstrap.digest.to_vec())
        .bind(bootstrap.target.as_str())
        .bind(bootstrap.expires_at_us)
        .execute(connection)
        .await
        .map(drop)
        .map_err(&keep)
}

async fn must_be_live(connection: &mut SqliteConnection, target: &RobotId) -> Result<(), StoreError> {
    let row = sqlx::query(LIVE)
        .bind(target.as_str())
        .bind(target.organisation.as_str())
        .fetch_optional(connection)
        .await
        .map_err(failed("looking a robot up"))?;
    row.map(drop).ok_or_else(|| StoreError::Missing { what: "robot", name: target.to_string() })
}

async fn insert(connection: &mut SqliteConnection, certificate: Certificate) -> Result<(), StoreError> {
    must_be_live(connection, &certificate.target).await?;
    sqlx::query(
        "INSERT INTO certificates (fingerprint, target, serial, issued_at_us, not_after_us, revoked_at_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(certificate.fingerprint.0.to_vec())
    .bind(certificate.target.as_str())
    .bind(certificate.serial)
    .bind(certificate.issued_at_us)
    .bind(certificate.not_after_us)
    .bind(certificate.revoked_at_us)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed("keeping a certificate"))
}

fn robot_of(row: &SqliteRow) -> Result<RobotId, StoreError> {
    Ok(RobotId { organisation: get_name(row, "organisation")?, name: get_name(row, "target")? })
}

pub(crate) fn certificate_of(row: &SqliteRow) -> Result<Certificate, StoreError> {
    Ok(Certificate {
        fingerprint: Fingerprint(get_hash(row, "fingerprint")?),
        target: robot_of(row)?,
        serial: get(row, "serial")?,
        issued_at_us: get(row, "issued_at_us")?,
        not_after_us: get(row, "not_after_us")?,
        revoked_at_us: get(row, "revoked_at_us")?,
    })
}
