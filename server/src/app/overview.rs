//! Every robot in short, kept at hand: finding and counting robots by what they are does not read ten thousand logs. Memory only: read
//! from the stores when it is first asked for, and again of each robot that changed since.

use edgeflow_core::{
    OrganisationId, Page, Principal, RobotId, TargetName,
    overview::{self, Brief, FleetSummary, TargetFilter},
    principal::{Action, Resource},
    target::{self, Attested, Target, TargetView},
};
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

use crate::app::{App, AppError};

/// After so long everything is read again: another server on the same store tells nobody here what it changed.
const FRESH: Duration = Duration::from_secs(60);
/// Robots read at once.
const CHUNK: u32 = 1000;

/// What is at hand, by organisation.
#[derive(Default)]
pub(crate) struct Overview(Mutex<HashMap<OrganisationId, Known>>);

#[derive(Default)]
struct Known {
    robots: BTreeMap<TargetName, Brief>,
    /// When all of them were read.
    whole: Option<Instant>,
}

impl App {
    /// Robots that a filter takes, by name, as shown.
    pub async fn find_targets(
        &self,
        principal: &Principal,
        filter: &TargetFilter,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Page<TargetView>, AppError> {
        if filter.is_empty() {
            return self.targets(principal, after, limit).await;
        }
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        let found: Vec<TargetName> = self
            .overview(&principal.organisation, |robots| {
                let beyond = robots.iter().filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
                let taken = beyond.filter(|(name, brief)| filter.takes(name, brief, self.is_here(&principal.organisation, name)));
                taken.map(|(name, _)| name.clone()).take(limit as usize + 1).collect()
            })
            .await?;
        let page = Page::cut(found, limit, ToString::to_string);
        let items = self.target_views(&principal.organisation, &page.items).await?;
        Ok(Page { items, next: page.next })
    }

    /// Robots that a filter takes, counted.
    pub async fn target_summary(&self, principal: &Principal, filter: &TargetFilter) -> Result<FleetSummary, AppError> {
        self.permit(principal, Action::ReadTarget, Resource::Organisation).await?;
        let groups = self.group_members(&principal.organisation).await?;
        self.overview(&principal.organisation, |robots| {
            let here = robots.iter().map(|(name, brief)| (name, brief, self.is_here(&principal.organisation, name)));
            overview::summary(here.filter(|(name, brief, online)| filter.takes(name, brief, *online)), &groups)
        })
        .await
    }

    fn is_here(&self, organisation: &OrganisationId, name: &TargetName) -> bool {
        self.presence.is_online(&App::robot_id(organisation, name))
    }

    /// Looks at every robot of an organisation, as they are now.
    pub(crate) async fn overview<T>(
        &self,
        organisation: &OrganisationId,
        look: impl FnOnce(&BTreeMap<TargetName, Brief>) -> T,
    ) -> Result<T, AppError> {
        let mut all = self.overview.0.lock().await;
        let mut changed: HashMap<OrganisationId, Vec<TargetName>> = HashMap::new();
        for RobotId { organisation, name } in self.presence.take_unread() {
            changed.entry(organisation).or_default().push(name);
        }
        for (whose, names) in changed {
            if let Some(known) = all.get_mut(&whose) {
                // What was not read would never be asked for again: when this breaks off, or whoever asked has gone, all is read anew.
                let whole = known.whole.take();
                self.read_briefs(&whose, &names, known).await?;
                known.whole = whole;
            }
        }
        let known = all.entry(organisation.clone()).or_default();
        if known.whole.is_none_or(|whole| whole.elapsed() > FRESH) {
            let (began, mut anew) = (Instant::now(), Known::default());
            let mut after: Option<String> = None;
            loop {
                let page = self.stores.targets.targets(organisation, after.as_deref(), CHUNK).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.id.name.to_string());
                self.add_briefs(organisation, &page, &mut anew).await?;
            }
            *known = Known { whole: Some(began), ..anew };
        }
        Ok(look(&known.robots))
    }

    async fn read_briefs(&self, organisation: &OrganisationId, names: &[TargetName], known: &mut Known) -> Result<(), AppError> {
        for names in names.chunks(CHUNK as usize) {
            let found = self.stores.targets.targets_named(organisation, names).await?;
            for name in names {
                known.robots.remove(name);
            }
            self.add_briefs(organisation, &found, known).await?;
        }
        Ok(())
    }

    async fn add_briefs(&self, organisation: &OrganisationId, targets: &[Target], known: &mut Known) -> Result<(), AppError> {
        let names: Vec<TargetName> = targets.iter().map(|target| target.id.name.clone()).collect();
        let attested = self.stores.entries.attested(organisation, &names).await?;
        let nothing = Attested::default();
        for target in targets {
            let view = target::view(target, attested.get(&target.id.name).unwrap_or(&nothing), true);
            known.robots.insert(target.id.name.clone(), Brief::new(&view));
        }
        Ok(())
    }

    /// These robots, as shown.
    pub(crate) async fn target_views(&self, organisation: &OrganisationId, names: &[TargetName]) -> Result<Vec<TargetView>, AppError> {
        let targets = self.stores.targets.targets_named(organisation, names).await?;
        let attested = self.stores.entries.attested(organisation, names).await?;
        let nothing = Attested::default();
        let view =
            |target: &Target| target::view(target, attested.get(&target.id.name).unwrap_or(&nothing), self.presence.is_online(&target.id));
        Ok(targets.iter().map(view).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{AppOptions, SystemClock, TargetRequest};
    use futures::FutureExt;
    use std::sync::Arc;

    #[tokio::test]
    async fn what_changed_is_seen_though_whoever_asked_first_did_not_wait_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let app = App::open(AppOptions::new(folder.path()), Arc::new(SystemClock)).await.unwrap();
        let (administrator, name) = (Principal::administrator(), TargetName::new("robot-1").unwrap());
        let labels = |site: &str| BTreeMap::from([("site".to_owned(), site.to_owned())]);
        app.enrol_target(&administrator, TargetRequest { name: name.clone(), labels: labels("berlin") }).await.unwrap();
        let site = |robots: &BTreeMap<TargetName, Brief>| robots[&name].labels()["site"].clone();
        assert_eq!(app.overview(&administrator.organisation, site).await.unwrap(), "berlin");
        let mut given_up = false;
        for n in 0..100 {
            app.set_labels(&administrator, &name, labels(&n.to_string())).await.unwrap();
            // Asked once: on a busy machine the thread that reads may be done already.
            given_up = app.overview(&administrator.organisation, site).now_or_never().is_none();
            assert_eq!(app.overview(&administrator.organisation, site).await.unwrap(), n.to_string());
            if given_up {
                break;
            }
        }
        assert!(given_up, "it was read at once each time");
        app.close().await;
    }
}
