//! What changed between what two robots said they ran, or what one robot said at two times.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

use crate::{
    audit::AuditRecord,
    lineage::Interval,
    model::{ModelVersion, Stage},
    model_diff::{Change, ModelDiff},
    provenance::{ProvenanceDataset, Registered},
    rollout::{Actor, Happened, HistoryEntry},
};

/// Most acts of one side that are told, the newest.
pub const MAX_ACTS: usize = 50;

/// The deployment behind what a robot ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ToldBy {
    /// Its number.
    pub id: String,
    /// When it was made, microseconds since the Unix epoch.
    pub created_at_us: i64,
    /// By whom.
    pub created_by: String,
    /// Incarnation of the control plane whose desired state asked it of the robot.
    pub server_epoch: u64,
    /// Count of changes of that desired state.
    pub generation: u64,
    /// The rollout it was part of; `null` when somebody named the robot.
    pub rollout: Option<String>,
    /// Who let that rollout go on, oldest first.
    pub approvals: Vec<Approval>,
}

/// Somebody's word that a stage of a rollout may begin, or may pass without its gates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Approval {
    /// Name of the stage.
    pub stage: String,
    /// Who.
    pub who: String,
    /// When, microseconds since the Unix epoch.
    pub at_us: i64,
    /// `approved` or `promoted`.
    #[schema(value_type = String)]
    pub what: crate::rollout::Happened,
    /// Why, in their words.
    pub cause: String,
}

impl Approval {
    /// Those of a rollout's history.
    pub fn of(history: &[HistoryEntry]) -> Vec<Self> {
        let approval = |entry: &HistoryEntry| match (&entry.actor, entry.happened) {
            (Actor::Operator(who), what @ (Happened::Approved | Happened::Promoted)) => Some(Self {
                stage: entry.stage.clone().unwrap_or_default(),
                who: who.clone(),
                at_us: entry.at_us,
                what,
                cause: entry.cause.clone(),
            }),
            _ => None,
        };
        history.iter().filter_map(approval).collect()
    }
}

/// What somebody did to a version.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ActView {
    /// Who.
    pub who: String,
    /// When, microseconds since the Unix epoch.
    pub at_us: i64,
    /// What: `register`, `stage`, `alias`, `tag`, `description`, `delete`, or the action as it is on record.
    pub action: String,
    /// Particulars, as on record.
    pub detail: Value,
}

/// One side: what a robot said it ran, and what is known of that.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct LineageSide {
    /// The robot.
    pub target: String,
    /// The moment, by the robot's clock, microseconds since the Unix epoch; `null` is now.
    pub at_us: Option<i64>,
    /// What it said it ran; `null` when it said nothing of that time.
    pub attested: Option<Interval>,
    /// Whether it said so at that moment or later. Otherwise the interval covers the moment and nothing was said between its `last_us`
    /// and its end: the robot may have been off.
    pub confirmed: bool,
    /// What the bundle is registered as; `null` when it is not registered here.
    pub version: Option<Registered>,
    /// The deployment that told the robot to run it; `null` when none did.
    pub deployment: Option<ToldBy>,
    /// Who did what to that version, oldest first.
    pub acts: Vec<ActView>,
}

/// A dataset in short.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
pub struct DatasetRef {
    /// Its name.
    pub name: String,
    /// What tells its content from another.
    pub digest: String,
}

/// Datasets that the two were trained on, however many runs lie between.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct TrainedOn {
    /// Only the first.
    pub before: Vec<DatasetRef>,
    /// Only the second.
    pub after: Vec<DatasetRef>,
    /// Both.
    pub both: Vec<DatasetRef>,
}

/// What changed between two sides. What is the same in both is left out of `model`, `aliases` and `stage`.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct LineageDiff {
    /// Which slot.
    pub slot: String,
    /// The first.
    pub before: LineageSide,
    /// The second.
    pub after: LineageSide,
    /// Whether both said the same bundle, or both nothing.
    pub same: bool,
    /// What differs between the two versions; `null` when a side ran nothing, or nothing that is registered here.
    pub model: Option<ModelDiff>,
    /// Names that stand for the versions now, when they differ.
    pub aliases: Option<Change<Vec<String>>>,
    /// How far the versions are now, when that differs.
    pub stage: Option<Change<Stage>>,
    /// What they were trained on.
    pub trained_on: TrainedOn,
    /// What could not be compared, and why.
    pub notes: Vec<String>,
}

impl TrainedOn {
    /// From the datasets of all runs that led to either.
    pub fn of<'a>(before: impl Iterator<Item = &'a ProvenanceDataset>, after: impl Iterator<Item = &'a ProvenanceDataset>) -> Self {
        let before: BTreeSet<DatasetRef> = trained(before).collect();
        let after: BTreeSet<DatasetRef> = trained(after).collect();
        Self {
            before: before.difference(&after).cloned().collect(),
            after: after.difference(&before).cloned().collect(),
            both: before.intersection(&after).cloned().collect(),
        }
    }
}

fn trained<'a>(datasets: impl Iterator<Item = &'a ProvenanceDataset>) -> impl Iterator<Item = DatasetRef> {
    datasets.filter(|dataset| dataset.trained_on).map(|dataset| DatasetRef { name: dataset.name.clone(), digest: dataset.digest.clone() })
}

/// Aliases and stages of the two, where they differ. A side without a version has none.
pub fn said_of(before: Option<&ModelVersion>, after: Option<&ModelVersion>) -> (Option<Change<Vec<String>>>, Option<Change<Stage>>) {
    let aliases = |version: &ModelVersion| {
        let mut aliases = version.aliases.clone();
        aliases.sort();
        aliases
    };
    (
        Change::of(before.map(aliases), after.map(aliases)),
        Change::of(before.map(|version| version.stage), after.map(|version| version.stage)),
    )
}

/// What an act on record did to version `number` of a model; `None` when it was about something else. `on_version`: the record is
/// of the version, not of its model.
pub fn act_on(record: AuditRecord, on_version: bool, number: u64) -> Option<ActView> {
    let detail = &record.detail;
    let has = |key: &str| detail.get(key).is_some();
    let action = if !on_version {
        // An alias is the model's; it is about the version it then stood for.
        let of_version = detail.get("version").and_then(Value::as_str).is_some_and(|version| version == number.to_string());
        if has("alias") && of_version {
            "alias"
        } else {
            return None;
        }
    } else if has("digest") || has("run_id") {
        "register"
    } else {
        ["stage", "tag", "description"].into_iter().find(|key| has(key)).unwrap_or(if has("deleted") { "delete" } else { &record.action })
    };
    let action = action.to_owned();
    Some(ActView { who: record.who, at_us: record.at_us, action, detail: record.detail })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn dataset(name: &str, digest: &str, trained_on: bool) -> ProvenanceDataset {
        let (source_type, source, context) = ("local".to_owned(), String::new(), String::new());
        ProvenanceDataset { name: name.into(), digest: digest.into(), source_type, source, context, trained_on }
    }

    #[test]
    fn datasets_of_either_and_both_are_told_and_what_they_were_judged_by_is_not() {
        let before = [dataset("a", "1", true), dataset("b", "1", true), dataset("e", "9", false)];
        let after = [dataset("b", "1", true), dataset("a", "2", true), dataset("a", "2", true)];
        let found = TrainedOn::of(before.iter(), after.iter());
        let told = |list: &[DatasetRef]| list.iter().map(|one| format!("{} {}", one.name, one.digest)).collect::<Vec<_>>();
        assert_eq!(
            (told(&found.before), told(&found.after), told(&found.both)),
            (vec!["a 1".into()], vec!["a 2".into()], vec!["b 1".into()])
        );
    }

    #[test]
    fn acts_are_named_after_what_they_did_to_this_version() {
        let record = |detail: Value| AuditRecord {
            id: 1,
            at_us: 5,
            who: "administrator".into(),
            action: "write_model".into(),
            resource: String::new(),
            outcome: "done".into(),
            detail,
        };
        let named = |detail: Value, on_version| act_on(record(detail), on_version, 2).map(|act| act.action);
        assert_eq!(named(json!({ "digest": "sha256:aa", "run_id": null }), true).unwrap(), "register");
        assert_eq!(named(json!({ "stage": "Production", "archive_others": true }), true).unwrap(), "stage");
        assert_eq!(named(json!({ "tag": "k", "value": "v" }), true).unwrap(), "tag");
        assert_eq!(named(json!({ "deleted": true }), true).unwrap(), "delete");
        assert_eq!(named(json!({ "alias": "champion", "version": "2" }), false).unwrap(), "alias");
        assert_eq!(named(json!({ "alias": "champion", "version": "3" }), false), None);
        assert_eq!(named(json!({ "description": "of the model" }), false), None);
    }
}
