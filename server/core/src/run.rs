//! Runs: one training, with what went in, what was measured and what came out.

use serde::Serialize;

use crate::{
    CoreError,
    dataset::DatasetInput,
    experiment::{Lifecycle, Pair},
    limits::{check_key, check_length, truncated},
    search::{Attribute, Grammar, Scope},
};

/// Most metrics of one batch, and most of everything in it.
pub const MAX_METRICS: usize = 1000;
/// Most parameters of one batch.
pub const MAX_PARAMS: usize = 100;
/// Most tags of one batch.
pub const MAX_TAGS: usize = 100;
/// Characters of a parameter's value that are kept.
pub const MAX_PARAM_VALUE: usize = 6000;
/// Characters of a tag's value that are kept.
pub const MAX_TAG_VALUE: usize = 8000;
/// The tag that is the run's name.
pub const NAME_TAG: &str = "mlflow.runName";
/// The tag of a run's dataset that says what it was for.
pub const CONTEXT_TAG: &str = "mlflow.data.context";

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RunStatus {
    /// Begun.
    Running,
    /// To begin later.
    Scheduled,
    /// Ended well.
    Finished,
    /// Ended badly.
    Failed,
    /// Ended by somebody.
    Killed,
}

impl RunStatus {
    /// As it is stored, shown and searched.
    pub fn as_str(self) -> &'static str {
        match self {
            RunStatus::Running => "RUNNING",
            RunStatus::Scheduled => "SCHEDULED",
            RunStatus::Finished => "FINISHED",
            RunStatus::Failed => "FAILED",
            RunStatus::Killed => "KILLED",
        }
    }
}

impl std::str::FromStr for RunStatus {
    type Err = CoreError;
    fn from_str(word: &str) -> Result<Self, CoreError> {
        let all = [RunStatus::Running, RunStatus::Scheduled, RunStatus::Finished, RunStatus::Failed, RunStatus::Killed];
        all.into_iter().find(|status| status.as_str() == word).ok_or_else(|| CoreError::UnknownWord {
            what: "run status",
            word: word.to_owned(),
            expected: "RUNNING, SCHEDULED, FINISHED, FAILED, KILLED",
        })
    }
}

/// A value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Of which metric.
    pub key: String,
    /// The value; may be NaN or infinite.
    pub value: f64,
    /// When it was measured, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// At which step of the training.
    pub step: i64,
}

impl Metric {
    /// What decides which value is the latest: the greatest step, then time, then value, where NaN counts as 0.
    pub fn rank(&self) -> (i64, i64, f64) {
        (self.step, self.timestamp_ms, if self.value.is_nan() { 0.0 } else { self.value })
    }
}

/// A value of a metric, to be logged.
#[derive(Debug, Clone, PartialEq)]
pub struct NewMetric {
    /// The value.
    pub metric: Metric,
    /// The logged model it was measured of.
    pub model_id: Option<String>,
    /// Name of the dataset it was measured on; may be empty.
    pub dataset_name: String,
    /// Digest of that dataset; may be empty.
    pub dataset_digest: String,
}

/// What is logged to a run at once. All of it is kept, or nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogBatch {
    /// Values of metrics.
    pub metrics: Vec<NewMetric>,
    /// Parameters: once given, a value stays.
    pub params: Vec<Pair>,
    /// Tags: the last value stands.
    pub tags: Vec<Pair>,
}

impl LogBatch {
    /// Checks it, and cuts values that are too long, as MLflow does.
    pub fn validated(mut self) -> Result<Self, CoreError> {
        for (what, count, most) in [
            ("metrics", self.metrics.len(), MAX_METRICS),
            ("params", self.params.len(), MAX_PARAMS),
            ("tags", self.tags.len(), MAX_TAGS),
            ("metrics, params, and tags", self.metrics.len() + self.params.len() + self.tags.len(), MAX_METRICS),
        ] {
            if count > most {
                return bad(format!("a batch has at most {most} {what}, this one has {count}: send several"));
            }
        }
        for NewMetric { metric, dataset_name, dataset_digest, .. } in &self.metrics {
            check_key("metric", &metric.key)?;
            if metric.timestamp_ms < 0 {
                return bad(format!(
                    "metric {:?}: timestamp {} is negative; give milliseconds since 1970",
                    metric.key, metric.timestamp_ms
                ));
            }
            check_length("the dataset's name", dataset_name, crate::dataset::MAX_NAME)?;
            check_length("the dataset's digest", dataset_digest, crate::dataset::MAX_DIGEST)?;
        }
        let mut keys = std::collections::HashSet::new();
        for param in &mut self.params {
            check_param(param)?;
            if !keys.insert(param.key.clone()) {
                return bad(format!("parameter {:?} is twice in the batch", param.key));
            }
        }
        for tag in &mut self.tags {
            check_tag(tag)?;
        }
        Ok(self)
    }
}

fn bad<T>(reason: String) -> Result<T, CoreError> {
    Err(CoreError::BadTracking { reason })
}

/// Checks a parameter and cuts its value.
pub fn check_param(param: &mut Pair) -> Result<(), CoreError> {
    check_key("param", &param.key)?;
    param.value = truncated(std::mem::take(&mut param.value), MAX_PARAM_VALUE);
    Ok(())
}

/// Checks a tag and cuts its value.
pub fn check_tag(tag: &mut Pair) -> Result<(), CoreError> {
    check_key("tag", &tag.key)?;
    tag.value = truncated(std::mem::take(&mut tag.value), MAX_TAG_VALUE);
    Ok(())
}

/// A run without what was logged to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunInfo {
    /// 32 hex digits.
    pub id: String,
    /// Number of its experiment.
    pub experiment: i64,
    /// Its name; several runs may share one.
    pub name: String,
    /// Who began it, as the client says.
    pub user: String,
    /// Where it is.
    pub status: RunStatus,
    /// When it began, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// When it ended.
    pub end_ms: Option<i64>,
    /// Whether it is there.
    pub lifecycle: Lifecycle,
    /// Where its artifacts are.
    pub artifact_uri: String,
}

/// A logged model that went into a run or came out of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelLink {
    /// Id of the logged model.
    pub model_id: String,
    /// At which step it came out; 0 for what went in.
    pub step: i64,
}

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The run itself.
    pub info: RunInfo,
    /// The latest value of each metric.
    pub metrics: Vec<Metric>,
    /// Parameters.
    pub params: Vec<Pair>,
    /// Tags.
    pub tags: Vec<Pair>,
    /// Datasets that went in, in the order they were logged.
    pub datasets: Vec<DatasetInput>,
    /// Logged models that went in.
    pub model_inputs: Vec<ModelLink>,
    /// Logged models that came out.
    pub model_outputs: Vec<ModelLink>,
}

/// A run to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// 32 hex digits.
    pub id: String,
    /// Number of its experiment.
    pub experiment: i64,
    /// Its name.
    pub name: String,
    /// Who begins it.
    pub user: String,
    /// When it begins, milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Its tags; [`NAME_TAG`] is among them.
    pub tags: Vec<Pair>,
}

impl NewRun {
    /// Checks what people gave: the name may be an argument, a tag, or both when they agree. `otherwise` names a run that
    /// nobody named.
    pub fn validated(mut self, otherwise: impl FnOnce() -> String) -> Result<Self, CoreError> {
        let tagged = self.tags.iter().find(|tag| tag.key == NAME_TAG).map(|tag| tag.value.clone());
        match tagged {
            Some(tag) if !self.name.is_empty() && tag != self.name => {
                return bad(format!("the run's name {:?} and its tag {NAME_TAG} {tag:?} differ: give one, or the same", self.name));
            }
            Some(tag) => self.name = tag,
            None => {}
        }
        if self.name.is_empty() {
            self.name = otherwise();
        }
        check_length("the run's name", &self.name, MAX_TAG_VALUE)?;
        check_length("the user", &self.user, 256)?;
        self.tags.retain(|tag| tag.key != NAME_TAG);
        self.tags.push(Pair::new(NAME_TAG, self.name.clone()));
        if self.tags.len() > MAX_TAGS {
            return bad(format!("a run begins with at most {MAX_TAGS} tags"));
        }
        let mut keys = std::collections::HashSet::new();
        for tag in &mut self.tags {
            check_tag(tag)?;
            if !keys.insert(tag.key.clone()) {
                return bad(format!("tag {:?} is given twice", tag.key));
            }
        }
        Ok(self)
    }
}

/// What changes of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunChange {
    /// Where it is.
    pub status: Option<RunStatus>,
    /// When it ended.
    pub end_ms: Option<i64>,
    /// Its name.
    pub name: Option<String>,
}

/// A pleasant name for a run that nobody named, from any number.
pub fn generated_name(seed: u64) -> String {
    const HOW: [&str; 32] = [
        "agile", "amber", "brisk", "calm", "clever", "copper", "daring", "dusty", "eager", "early", "fleet", "gentle", "golden", "hardy",
        "humble", "keen", "lively", "lucky", "merry", "nimble", "patient", "polar", "quiet", "rapid", "rustic", "silver", "steady",
        "sunny", "swift", "tidy", "vivid", "wise",
    ];
    const WHAT: [&str; 32] = [
        "anchor", "axle", "beacon", "bolt", "caster", "compass", "crane", "drone", "encoder", "flange", "forklift", "gantry", "gear",
        "gripper", "gyro", "harness", "joint", "lathe", "lidar", "linkage", "motor", "pallet", "piston", "probe", "pulley", "rotor",
        "rover", "sensor", "servo", "spindle", "tractor", "wheel",
    ];
    let pick = |list: &[&'static str; 32], shift: u32| list.get(((seed >> shift) & 31) as usize).copied().unwrap_or_default();
    format!("{}-{}-{}", pick(&HOW, 0), pick(&WHAT, 5), (seed >> 10) % 1000)
}

/// Which of so many steps are read when at most `most` can be: evenly spread, the first and the last among them.
pub fn sampled_steps(steps: &[i64], most: usize) -> Vec<i64> {
    if steps.len() <= most || most < 2 {
        return steps.iter().copied().take(most.max(1)).collect();
    }
    let last = steps.len() - 1;
    (0..most).filter_map(|place| steps.get(place * last / (most - 1)).copied()).collect()
}

/// What runs are searched by.
pub const RUNS: Grammar = Grammar {
    entity: "run",
    attributes: &[
        Attribute::text("run_id", &["run id", "Run ID"]),
        Attribute::text("run_name", &["run name", "Run name", "Run Name"]),
        Attribute::text("status", &["Status"]),
        Attribute::text("user_id", &[]),
        Attribute::text("artifact_uri", &[]),
        Attribute::number("start_time", &["created", "Created"]),
        Attribute::number("end_time", &[]),
    ],
    scopes: &[Scope::Metric, Scope::Param, Scope::Tag, Scope::Dataset],
    sortable: &[],
};

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewRun {
        NewRun { id: "r".into(), experiment: 0, name: String::new(), user: String::new(), start_ms: 0, tags: Vec::new() }
    }

    #[test]
    fn a_name_comes_from_the_argument_the_tag_or_nobody() {
        let named = |name: &str, tag: Option<&str>| {
            let tags = tag.map(|tag| Pair::new(NAME_TAG, tag)).into_iter().collect();
            NewRun { name: name.into(), tags, ..new() }.validated(|| "made-up".into()).map(|run| (run.name, run.tags))
        };
        let is = |name: &str| (name.to_owned(), vec![Pair::new(NAME_TAG, name)]);
        assert_eq!(named("a", None).unwrap(), is("a"));
        assert_eq!(named("", Some("b")).unwrap(), is("b"));
        assert_eq!(named("c", Some("c")).unwrap(), is("c"));
        assert_eq!(named("", None).unwrap(), is("made-up"));
        assert!(named("a", Some("b")).is_err());
    }

    #[test]
    fn a_batch_over_a_limit_is_refused_and_a_long_value_is_cut() {
        let metric = |step| NewMetric {
            metric: Metric { key: "m".into(), value: 1.0, timestamp_ms: 1, step },
            model_id: None,
            dataset_name: String::new(),
            dataset_digest: String::new(),
        };
        let pairs = |count: usize| (0..count).map(|at| Pair::new(format!("k{at}"), "v")).collect::<Vec<_>>();
        let batch =
            |metrics, params, tags| LogBatch { metrics: (0..metrics).map(metric).collect(), params: pairs(params), tags: pairs(tags) };
        for good in [batch(1000, 0, 0), batch(800, 100, 100), batch(0, 0, 0)] {
            assert!(good.validated().is_ok());
        }
        for bad in [batch(1001, 0, 0), batch(0, 101, 0), batch(0, 0, 101), batch(900, 100, 1)] {
            assert!(bad.validated().is_err());
        }
        let twice = LogBatch { params: vec![Pair::new("a", "1"), Pair::new("a", "1")], ..LogBatch::default() };
        assert!(twice.validated().is_err());
        let long = LogBatch { params: vec![Pair::new("a", "é".repeat(7000))], ..LogBatch::default() };
        assert_eq!(long.validated().unwrap().params[0].value.chars().count(), MAX_PARAM_VALUE);
    }

    #[test]
    fn sampled_steps_keep_both_ends() {
        let steps: Vec<i64> = (0..1000).collect();
        let some = sampled_steps(&steps, 10);
        assert_eq!((some.len(), some[0], some[9]), (10, 0, 999));
        assert!(some.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(sampled_steps(&steps[..5], 10), [0, 1, 2, 3, 4]);
        assert_eq!(sampled_steps(&[], 10), [0; 0]);
    }

    #[test]
    fn nobodys_runs_get_different_names() {
        let names: std::collections::HashSet<_> =
            (0..1000_u64).map(|seed| generated_name(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        assert!(names.len() > 900, "{}", names.len());
    }
}
