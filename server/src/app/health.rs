//! How the control plane is, for whoever looks for what is wrong with it.

use edgeflow_core::{
    Principal,
    health::{DiskView, HealthView, StoreView, TaskView},
    principal::{Action, Resource},
};
use std::{
    collections::BTreeMap,
    fmt::Display,
    future::Future,
    path::Path,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::app::{App, AppError};

/// Last rounds of what runs beside requests.
#[derive(Default)]
pub(crate) struct Tasks(Mutex<BTreeMap<&'static str, TaskView>>);

impl Tasks {
    fn all(&self) -> Vec<TaskView> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl App {
    /// Notes how a round of a task ended.
    pub fn note_round<T, E: Display>(&self, name: &'static str, every: Duration, ended: &Result<T, E>) {
        let task = TaskView {
            name: name.to_owned(),
            every_us: i64::try_from(every.as_micros()).unwrap_or(i64::MAX),
            last_us: Some(self.now_us()),
            error: ended.as_ref().err().map(ToString::to_string),
        };
        self.tasks.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, task);
    }

    /// How its disk, its stores and its tasks are.
    pub async fn health(&self, principal: &Principal) -> Result<HealthView, AppError> {
        self.permit(principal, Action::ReadServer, Resource::Organisation).await?;
        let (organisation, now_us) = (&principal.organisation, self.now_us());
        let stores = vec![
            self.asked("registry", async { self.stores.models.models(organisation, None, 1).await.map(drop) }).await,
            self.asked("fleet", async { self.stores.server.identity(now_us).await.map(drop) }).await,
            self.asked("telemetry", async { self.stores.retention.usage().await.map(drop) }).await,
        ];
        Ok(HealthView { disk: disk(&self.data_dir)?, stores, tasks: self.tasks.all() })
    }

    /// A part of the store, asked a question.
    async fn asked<E: Display>(&self, name: &str, question: impl Future<Output = Result<(), E>>) -> StoreView {
        let began = Instant::now();
        let error = question.await.err().map(|error| error.to_string());
        let took_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let size = |ending: &str| std::fs::metadata(self.data_dir.join(format!("{name}.db{ending}"))).map_or(0, |file| file.len());
        StoreView { name: name.to_owned(), size_bytes: size("") + size("-wal"), took_us, error }
    }
}

fn disk(folder: &Path) -> Result<DiskView, AppError> {
    let found = rustix::fs::statvfs(folder).map_err(|error| AppError::artifact("looking at the disk")(std::io::Error::from(error)))?;
    Ok(DiskView {
        free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
        total_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        free_inodes: found.f_favail,
        total_inodes: found.f_files,
    })
}
