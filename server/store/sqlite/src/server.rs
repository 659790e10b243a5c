//! The control plane's own memory, in `fleet.db`, so that raising the epoch and the desired states is one transaction.

use async_trait::async_trait;
use edgeflow_core::server::ServerIdentity;
use edgeflow_store::{ServerStore, StoreError};
use futures::FutureExt;
use sqlx::{SqliteConnection, sqlite::SqliteRow};

use crate::{
    Fleet,
    connect::failed,
    decode::{corrupt, get, get_u64},
};

#[async_trait]
impl ServerStore for Fleet {
    async fn identity(&self, now_us: i64) -> Result<ServerIdentity, StoreError> {
        self.0.writer.run(move |connection| identity(connection, now_us).boxed()).await
    }

    async fn raise_epoch(&self, now_us: i64) -> Result<ServerIdentity, StoreError> {
        self.0
            .writer
            .run(move |connection| {
                async move {
                    identity(connection, now_us).await?;
                    let raise = failed("raising the server epoch");
                    sqlx::query("UPDATE server SET server_epoch = server_epoch + 1").execute(&mut *connection).await.map_err(&raise)?;
                    sqlx::query("UPDATE targets SET server_epoch = (SELECT server_epoch FROM server) WHERE generation > 0")
                        .execute(&mut *connection)
                        .await
                        .map_err(&raise)?;
                    identity(connection, now_us).await
                }
                .boxed()
            })
            .await
    }

    async fn admin_token_hash(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let row = sqlx::query("SELECT admin_token_hash FROM server")
            .fetch_optional(&self.0.readers)
            .await
            .map_err(failed("reading the token"))?;
        let hash: Option<Vec<u8>> = row.as_ref().map(|row| get(row, "admin_token_hash")).transpose()?.flatten();
        hash.map(|hash| <[u8; 32]>::try_from(hash).map_err(|hash| corrupt("token hash")(&format!("{} bytes", hash.len())))).transpose()
    }

    async fn set_admin_token_hash(&self, hash: [u8; 32]) -> Result<(), StoreError> {
        self.0
            .writer
            .run(move |connection| {
                async move {
                    let done = sqlx::query("UPDATE server SET admin_token_hash = ?1")
                        .bind(hash.to_vec())
                        .execute(connection)
                        .await
                        .map_err(failed("setting the token"))?;
                    if done.rows_affected() == 1 {
                        Ok(())
                    } else {
                        Err(StoreError::Missing { what: "server", name: "identity".to_owned() })
                    }
                }
                .boxed()
            })
            .await
    }
}

async fn identity(connection: &mut SqliteConnection, now_us: i64) -> Result<ServerIdentity, StoreError> {
    let tell = failed("reading the server's identity");
    sqlx::query("INSERT INTO server (one, server_epoch, created_at_us) VALUES (1, 1, ?1) ON CONFLICT DO NOTHING")
        .bind(now_us)
        .execute(&mut *connection)
        .await
        .map_err(&tell)?;
    let row: SqliteRow = sqlx::query("SELECT server_epoch, created_at_us FROM server").fetch_one(connection).await.map_err(&tell)?;
    Ok(ServerIdentity { server_epoch: get_u64(&row, "server_epoch")?, created_at_us: get(&row, "created_at_us")? })
}
