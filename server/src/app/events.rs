//! The timeline, and the stream of changes.

use edgeflow_core::{
    Page, Principal, TargetName,
    entry::EntryFilter,
    event::{self, EventView, TIMELINE_CLASSES},
    principal::{Action, Resource},
};
use tokio::sync::broadcast;

use crate::app::{App, AppError, StreamItem};

impl App {
    /// The timeline, newest first: of the fleet, or of one robot.
    pub async fn events(
        &self,
        principal: &Principal,
        target: Option<TargetName>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Page<EventView>, AppError> {
        match &target {
            Some(name) => drop(self.readable(principal, name).await?),
            None => self.permit(principal, Action::ReadTarget, Resource::Organisation).await?,
        }
        let filter = EntryFilter { target, classes: TIMELINE_CLASSES.to_vec(), after, limit: limit + 1, ..EntryFilter::default() };
        let entries = self.stores.entries.entries(&principal.organisation, &filter).await?;
        let page = Page::cut(entries, limit, |entry| entry.id.to_string());
        Ok(Page { items: page.items.iter().filter_map(event::of).collect(), next: page.next })
    }

    /// Changes from now on. Items of other organisations are for the caller to leave out.
    pub async fn watch(&self, principal: &Principal) -> Result<broadcast::Receiver<StreamItem>, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        Ok(self.hub.watch())
    }
}
