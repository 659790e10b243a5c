//! The fleet at a glance: of each robot just enough to find it by name, label, group, condition and model, and to count. Ten thousand
//! of these fit where ten thousand [`TargetView`]s would not.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::{CoreError, TargetName, target::TargetView};

/// What a robot runs, by the registry's names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelNow {
    /// Registered name.
    pub model: String,
    /// Version.
    pub version: String,
    /// Bundle digest.
    pub digest: String,
}

/// One robot, in short. Whether it is online is no part of it: that changes without its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Brief {
    labels: BTreeMap<String, String>,
    /// It is ready whenever it is online.
    ready: bool,
    progressing: bool,
    degraded: bool,
    drifted: bool,
    held: bool,
    models: BTreeSet<ModelNow>,
}

impl Brief {
    /// Out of the view of a robot, made as if it were online.
    pub fn new(view: &TargetView) -> Self {
        let serves = view.slots.values().filter(|slot| !slot.model.is_empty());
        let models = serves.map(|slot| ModelNow { model: slot.model.clone(), version: slot.version.clone(), digest: slot.digest.clone() });
        Self {
            labels: view.labels.clone(),
            ready: view.conditions.ready,
            progressing: view.conditions.progressing,
            degraded: view.conditions.degraded,
            drifted: view.conditions.drifted,
            held: view.held.is_some(),
            models: models.collect(),
        }
    }

    /// Its labels.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    fn is(&self, condition: Condition, online: bool) -> bool {
        match condition {
            Condition::Ready => online && self.ready,
            Condition::Progressing => self.progressing,
            Condition::Degraded => self.degraded,
            Condition::Drifted => self.drifted,
            Condition::Offline => !online,
            Condition::Held => self.held,
        }
    }
}

/// How a robot is. One may be several of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Online, and serves all that is declared.
    Ready,
    /// Something declared is not yet there and has not failed.
    Progressing,
    /// A slot failed or was rolled back.
    Degraded,
    /// Its newest drift window is flagged.
    Drifted,
    /// It has no open session.
    Offline,
    /// Somebody keeps it from being changed.
    Held,
}

impl Condition {
    /// All of them.
    pub const ALL: [Condition; 6] =
        [Condition::Ready, Condition::Progressing, Condition::Degraded, Condition::Drifted, Condition::Offline, Condition::Held];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Condition::Ready => "ready",
            Condition::Progressing => "progressing",
            Condition::Degraded => "degraded",
            Condition::Drifted => "drifted",
            Condition::Offline => "offline",
            Condition::Held => "held",
        }
    }
}

impl std::str::FromStr for Condition {
    type Err = CoreError;

    fn from_str(word: &str) -> Result<Self, CoreError> {
        let expected = "ready, progressing, degraded, drifted, offline or held";
        let found = Condition::ALL.into_iter().find(|condition| condition.as_str() == word);
        found.ok_or_else(|| CoreError::UnknownWord { what: "condition", word: word.to_owned(), expected })
    }
}

/// Which robots: all that is said must hold. With nothing said, every robot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetFilter {
    /// Part of the name.
    pub part: Option<String>,
    /// By label: every key must have one of its values.
    pub labels: BTreeMap<String, BTreeSet<String>>,
    /// One of these.
    pub among: Option<BTreeSet<TargetName>>,
    /// How it is.
    pub condition: Option<Condition>,
    /// What it runs in some slot: name, and version when one is meant.
    pub model: Option<(String, Option<String>)>,
}

impl TargetFilter {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a robot is among them.
    pub fn takes(&self, name: &TargetName, brief: &Brief, online: bool) -> bool {
        let runs = |(model, version): &(String, Option<String>)| {
            brief.models.iter().any(|now| now.model == *model && version.as_ref().is_none_or(|version| now.version == *version))
        };
        self.part.as_ref().is_none_or(|part| name.as_str().contains(part.as_str()))
            && self.labels.iter().all(|(key, values)| brief.labels.get(key).is_some_and(|value| values.contains(value)))
            && self.among.as_ref().is_none_or(|names| names.contains(name))
            && self.condition.is_none_or(|condition| brief.is(condition, online))
            && self.model.as_ref().is_none_or(runs)
    }
}

/// Robots that run a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ModelCount {
    /// Registered name.
    pub model: String,
    /// Version.
    pub version: String,
    /// Bundle digest.
    pub digest: String,
    /// Robots that run it in some slot.
    pub robots: usize,
}

/// Robots, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FleetSummary {
    /// Of all that were asked for.
    pub robots: usize,
    /// Condition to how many are so; one robot may count for several.
    pub conditions: BTreeMap<String, usize>,
    /// Label to value to how many have it.
    pub labels: BTreeMap<String, BTreeMap<String, usize>>,
    /// Group to how many of these are in it.
    pub groups: BTreeMap<String, usize>,
    /// What they run, most robots first.
    pub models: Vec<ModelCount>,
}

/// Counts robots: name, brief, online. `groups` are the members of each.
pub fn summary<'a>(
    robots: impl Iterator<Item = (&'a TargetName, &'a Brief, bool)>,
    groups: &BTreeMap<String, BTreeSet<TargetName>>,
) -> FleetSummary {
    let mut counted = FleetSummary {
        robots: 0,
        conditions: Condition::ALL.into_iter().map(|condition| (condition.as_str().to_owned(), 0)).collect(),
        labels: BTreeMap::new(),
        groups: groups.keys().map(|group| (group.clone(), 0)).collect(),
        models: Vec::new(),
    };
    let mut models: BTreeMap<&ModelNow, usize> = BTreeMap::new();
    for (name, brief, online) in robots {
        counted.robots += 1;
        for condition in Condition::ALL.into_iter().filter(|condition| brief.is(*condition, online)) {
            *counted.conditions.entry(condition.as_str().to_owned()).or_default() += 1;
        }
        for (key, value) in &brief.labels {
            *counted.labels.entry(key.clone()).or_default().entry(value.clone()).or_default() += 1;
        }
        for (group, _) in groups.iter().filter(|(_, members)| members.contains(name)) {
            *counted.groups.entry(group.clone()).or_default() += 1;
        }
        for model in &brief.models {
            *models.entry(model).or_default() += 1;
        }
    }
    let count = |(now, robots): (&ModelNow, usize)| {
        let ModelNow { model, version, digest } = now.clone();
        ModelCount { model, version, digest, robots }
    };
    counted.models = models.into_iter().map(count).collect();
    counted.models.sort_by_key(|count| std::cmp::Reverse(count.robots));
    counted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> TargetName {
        TargetName::new(name).unwrap()
    }

    fn brief(site: &str, version: &str, drifted: bool) -> Brief {
        let now = ModelNow { model: "reader".into(), version: version.into(), digest: format!("d{version}") };
        let labels = [("site".to_owned(), site.to_owned())].into();
        Brief { labels, ready: true, progressing: false, degraded: false, drifted, held: false, models: [now].into() }
    }

    #[test]
    fn all_that_is_said_must_hold() {
        let robot = brief("berlin", "2", true);
        let takes = |filter: TargetFilter, online: bool| filter.takes(&name("robot-07"), &robot, online);
        assert!(takes(TargetFilter::default(), false));
        assert!(takes(TargetFilter { part: Some("t-0".into()), ..Default::default() }, false));
        assert!(!takes(TargetFilter { part: Some("t-1".into()), ..Default::default() }, false));
        let label = |key: &str, values: &[&str]| TargetFilter {
            labels: [(key.to_owned(), values.iter().map(|value| (*value).to_owned()).collect())].into(),
            ..Default::default()
        };
        assert!(takes(label("site", &["hamburg", "berlin"]), false));
        assert!(!takes(label("site", &["hamburg"]), false));
        assert!(!takes(label("zone", &["berlin"]), false));
        let condition = |condition| TargetFilter { condition: Some(condition), ..Default::default() };
        assert!(takes(condition(Condition::Ready), true) && !takes(condition(Condition::Ready), false));
        assert!(takes(condition(Condition::Offline), false) && !takes(condition(Condition::Offline), true));
        assert!(takes(condition(Condition::Drifted), false) && !takes(condition(Condition::Degraded), false));
        let model =
            |version: Option<&str>| TargetFilter { model: Some(("reader".into(), version.map(str::to_owned))), ..Default::default() };
        assert!(takes(model(None), true) && takes(model(Some("2")), true) && !takes(model(Some("1")), true));
        assert!(!takes(TargetFilter { among: Some([name("robot-08")].into()), ..Default::default() }, true));
        let both = TargetFilter { part: Some("robot".into()), condition: Some(Condition::Degraded), ..Default::default() };
        assert!(!takes(both, true));
    }

    #[test]
    fn a_condition_is_read_back_from_its_name() {
        for condition in Condition::ALL {
            assert_eq!(condition.as_str().parse::<Condition>().unwrap(), condition);
        }
        assert!("fine".parse::<Condition>().unwrap_err().to_string().contains("progressing"));
    }

    #[test]
    fn robots_are_counted_by_all_they_are() {
        let robots = [
            (name("a"), brief("berlin", "1", true), true),
            (name("b"), brief("berlin", "2", false), true),
            (name("c"), brief("rome", "2", false), false),
        ];
        let groups = [("half".to_owned(), [name("a"), name("c")].into()), ("none".to_owned(), BTreeSet::new())].into();
        let counted = summary(robots.iter().map(|(name, brief, online)| (name, brief, *online)), &groups);
        assert_eq!(counted.robots, 3);
        assert_eq!(
            (counted.conditions["ready"], counted.conditions["drifted"], counted.conditions["offline"], counted.conditions["degraded"]),
            (2, 1, 1, 0)
        );
        assert_eq!((counted.labels["site"]["berlin"], counted.labels["site"]["rome"]), (2, 1));
        assert_eq!((counted.groups["half"], counted.groups["none"]), (2, 0));
        assert_eq!(counted.models.iter().map(|count| (count.version.as_str(), count.robots)).collect::<Vec<_>>(), [("2", 2), ("1", 1)]);
    }
}
