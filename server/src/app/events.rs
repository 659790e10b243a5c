//! The timeline, and the stream of changes.

use edgeflow_core::{
    Page, Principal,
    entry::{EntryFilter, StoredEntry},
    event::{self, EventView, TIMELINE_CLASSES},
    principal::{Action, Resource},
};
use tokio::sync::broadcast;

use crate::app::{App, AppError, StreamItem};

impl App {
    /// The timeline, newest first: of the fleet, or of one robot. Class and order of `filter` are those of a timeline, whatever it says.
    pub async fn events(&self, principal: &Principal, filter: EntryFilter) -> Result<Page<EventView>, AppError> {
        match &filter.target {
            Some(name) => drop(self.readable(principal, name).await?),
            None => self.permit(principal, Action::ReadTarget, Resource::Organisation).await?,
        }
        let (after, limit) = (filter.after, filter.limit);
        let any = filter.kinds.is_empty();
        let rollouts = filter.target.is_none() && (any || filter.kinds.iter().any(|kind| kind == event::ROLLOUT_KIND));
        let mut page = Page { items: Vec::new(), next: None };
        let kinds: Vec<String> = filter.kinds.into_iter().filter(|kind| kind != event::ROLLOUT_KIND).collect();
        if any || !kinds.is_empty() {
            // Where none of the kinds is routine, those that are need not be gone through.
            let notable = filter.notable || (!any && !kinds.iter().any(|kind| event::ROUTINE_KINDS.contains(&kind.as_str())));
            let filter = EntryFilter { classes: TIMELINE_CLASSES.to_vec(), kinds, notable, ascending: false, limit: limit + 1, ..filter };
            let entries = self.stores.entries.entries(&principal.organisation, &filter).await?;
            page = Page::cut(entries, limit, |entry| entry.id.to_string());
        }
        let mut items: Vec<EventView> = page.items.iter().filter_map(event::of).collect();
        if rollouts {
            let span = self.span(principal, &page, after).await?;
            self.weave_rollouts(principal, &mut items, span, limit).await?;
        }
        Ok(Page { items, next: page.next })
    }

    /// From when to when a page of entries tells, by our clock: from its last entry (or ever) to that of the page before (or now).
    async fn span(&self, principal: &Principal, page: &Page<StoredEntry>, after: Option<i64>) -> Result<(i64, i64), AppError> {
        let from_us = if page.next.is_some() { page.items.last().map_or(i64::MIN, |entry| entry.received_us) } else { i64::MIN };
        let Some(after) = after else { return Ok((from_us, i64::MAX)) };
        let one = EntryFilter { after: Some(after.saturating_add(1)), limit: 1, ..EntryFilter::default() };
        let last = self.stores.entries.entries(&principal.organisation, &one).await?;
        Ok((from_us, last.first().map_or(i64::MAX, |entry| entry.received_us)))
    }

    /// What happened to rollouts is on record elsewhere: it is put in between entries by when those came, and takes no place of theirs.
    async fn weave_rollouts(
        &self,
        principal: &Principal,
        items: &mut Vec<EventView>,
        (from_us, before_us): (i64, i64),
        limit: u32,
    ) -> Result<(), AppError> {
        let happened = self.stores.rollouts.rollout_events(&principal.organisation, from_us, before_us, limit).await?;
        for line in happened.iter().filter_map(event::of_rollout) {
            let at = items.iter().position(|item| item.received_us < line.received_us).unwrap_or(items.len());
            items.insert(at, line);
        }
        Ok(())
    }

    /// Changes from now on. Items of other organisations are for the caller to leave out.
    pub async fn watch(&self, principal: &Principal) -> Result<broadcast::Receiver<StreamItem>, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        Ok(self.hub.watch())
    }
}
