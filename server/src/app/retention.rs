//! What is kept of robots' logs: shown, and brought about a small step at a time.
//!
//! Nothing is remembered between steps or rounds: what is due follows from the clock, the policy and the rows. A round that
//! was cut off goes on with the next one, and one that finds nothing due changes nothing.

use edgeflow_core::{
    Page, Principal, TargetName,
    entry::LossView,
    principal::{Action, Resource},
    retention::{Cause, RemovalView, Removed, RetentionView, SACRIFICES, Sacrifice},
    rollup::Resolution,
};
use edgeflow_store::KindAge;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppError};

/// Entries one step removes at most.
const ENTRIES: u32 = 500;
/// For room, entries one step removes at most: no more than is needed should go.
const ENTRIES_FOR_ROOM: u32 = 100;
/// Numbers one step folds at most.
const NUMBERS: u32 = 4_000;
/// For room, so much time is given up at once of what is oldest: an hour of entries and raw numbers, a day of roll-ups.
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Least pause between steps.
const PAUSE: Duration = Duration::from_millis(1);

/// Why a round ended before it was through.
enum Cut {
    Shutdown,
    Failed(AppError),
}

impl<E: Into<AppError>> From<E> for Cut {
    fn from(error: E) -> Self {
        Cut::Failed(error.into())
    }
}

impl App {
    /// What is kept, and the room it takes.
    pub async fn retention(&self, principal: &Principal) -> Result<RetentionView, AppError> {
        self.permit(principal, Action::ReadServer, Resource::Organisation).await?;
        Ok(RetentionView::new(&self.retention, self.stores.retention.usage().await?))
    }

    /// What was removed of a robot's log, or folded.
    pub async fn removals(&self, principal: &Principal, name: &TargetName) -> Result<Page<RemovalView>, AppError> {
        let robot = self.readable(principal, name).await?;
        Ok(Page { items: self.stores.retention.removals(&robot).await?, next: None })
    }

    /// Ranges of a robot's log that are on record as lost, the newest record first.
    pub async fn losses(&self, principal: &Principal, name: &TargetName, limit: u32) -> Result<Page<LossView>, AppError> {
        let robot = self.readable(principal, name).await?;
        Ok(Page { items: self.stores.entries.losses(&robot, limit).await?, next: None })
    }

    /// One round towards the policy: what is due by age, then what there is no room for. Returns when nothing is due any more,
    /// or soon after `shutdown`. Between two steps it pauses for as long as the first took, so that robots are served.
    pub async fn retain(&self, shutdown: &CancellationToken) -> Result<(), AppError> {
        match self.round(shutdown).await {
            Ok(()) | Err(Cut::Shutdown) => Ok(()),
            Err(Cut::Failed(error)) => Err(error),
        }
    }

    async fn round(&self, shutdown: &CancellationToken) -> Result<(), Cut> {
        let now_us = self.now_us();
        for of in self.stores.retention.kinds().await? {
            let before_us = self.retention.entries_before_us(of.class, &of.kind, now_us);
            if of.oldest_us < before_us {
                while self.remove(&of, before_us, Cause::Age, shutdown).await?.count > 0 {}
            }
        }
        let cutoffs = self.retention.cutoffs(now_us);
        for (resolution, before_us) in
            [(Resolution::Raw, cutoffs.raw_us), (Resolution::Minute, cutoffs.minute_us), (Resolution::Hour, cutoffs.hour_us)]
        {
            while self.fold(resolution, before_us, Cause::Age, shutdown).await?.count > 0 {}
        }
        self.make_room(shutdown).await?;
        loop {
            let began = Instant::now();
            if self.stores.retention.shrink().await? == 0 {
                break;
            }
            self.pace(began, shutdown).await?;
        }
        self.metrics.stored(self.stores.retention.usage().await?);
        Ok(())
    }

    /// Gives up the least valuable, and of it the oldest, until the rest fits.
    async fn make_room(&self, shutdown: &CancellationToken) -> Result<(), Cut> {
        for sacrifice in SACRIFICES {
            loop {
                if self.stores.retention.usage().await?.used_bytes <= self.retention.max_bytes {
                    return Ok(());
                }
                let removed = match sacrifice {
                    Sacrifice::Entries(class) => {
                        let kinds: Vec<KindAge> = self.stores.retention.kinds().await?.into_iter().filter(|of| of.class == class).collect();
                        let Some(oldest_us) = kinds.iter().map(|of| of.oldest_us).min() else { break };
                        let before_us = oldest_us.saturating_add(HOUR_US);
                        let mut removed = Removed::default();
                        for of in kinds.iter().filter(|of| of.oldest_us < before_us) {
                            removed += self.remove(of, before_us, Cause::Space, shutdown).await?;
                        }
                        removed
                    }
                    Sacrifice::Numbers(resolution) => {
                        let Some(oldest_us) = self.stores.retention.oldest_number(resolution).await? else { break };
                        let slice_us = if resolution == Resolution::Raw { HOUR_US } else { DAY_US };
                        self.fold(resolution, oldest_us.saturating_add(slice_us), Cause::Space, shutdown).await?
                    }
                };
                if removed.count == 0 {
                    break;
                }
            }
        }
        let used = self.stores.retention.usage().await?.used_bytes;
        if used > self.retention.max_bytes {
            tracing::warn!(
                store.used_bytes = used,
                store.max_bytes = self.retention.max_bytes,
                "nothing is left to remove and logs still take more room than retention.max_bytes: raise it"
            );
        }
        Ok(())
    }

    async fn remove(&self, of: &KindAge, before_us: i64, cause: Cause, shutdown: &CancellationToken) -> Result<Removed, Cut> {
        let began = Instant::now();
        let limit = if cause == Cause::Space { ENTRIES_FOR_ROOM } else { ENTRIES };
        let removed = self.stores.retention.remove_entries(of.class, &of.kind, before_us, limit, cause, self.now_us()).await?;
        self.metrics.removed(of.class.as_str(), cause, removed.count);
        self.pace(began, shutdown).await?;
        Ok(removed)
    }

    async fn fold(&self, resolution: Resolution, before_us: i64, cause: Cause, shutdown: &CancellationToken) -> Result<Removed, Cut> {
        let began = Instant::now();
        let removed = self.stores.retention.fold_numbers(resolution, before_us, NUMBERS, cause, self.now_us()).await?;
        self.metrics.removed(resolution.as_str(), cause, removed.count);
        self.pace(began, shutdown).await?;
        Ok(removed)
    }

    /// Lets others have as much time as the step had.
    async fn pace(&self, began: Instant, shutdown: &CancellationToken) -> Result<(), Cut> {
        let took = began.elapsed();
        self.metrics.retention_step(took);
        let pause = tokio::time::sleep(took.max(PAUSE));
        shutdown.run_until_cancelled(pause).await.ok_or(Cut::Shutdown)
    }
}
