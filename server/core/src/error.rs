//! What a rule can refuse.

/// What a rule can refuse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CoreError {
    /// A name that is not well-formed.
    #[error("bad {what} {name:?}: {rule}")]
    BadName {
        /// Which kind of name.
        what: &'static str,
        /// What was given.
        name: String,
        /// What is allowed.
        rule: &'static str,
    },
    /// A path no artifact may have.
    #[error("bad artifact path {path:?}: {reason}")]
    BadArtifactPath {
        /// What was given.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file where a folder is, or the other way round.
    #[error("{path:?} cannot be kept: {other:?} is a {what}")]
    ArtifactInTheWay {
        /// What was to be kept.
        path: String,
        /// What is in the way.
        other: String,
        /// `file` or `folder`.
        what: &'static str,
    },
    /// Parts that do not make a file.
    #[error("the parts do not make the file: {reason}")]
    BadParts {
        /// Which part, and what is wrong with it.
        reason: String,
    },
    /// Labels no robot may have.
    #[error("bad labels: {reason}")]
    BadLabels {
        /// What is wrong with them.
        reason: String,
    },
    /// A declaration that was planned against what stands no more.
    #[error("it was planned against revision {based_on} of the fleet, and {current} stands by now: plan again")]
    StaleRevision {
        /// The revision it was planned against.
        based_on: i64,
        /// The one that stands.
        current: i64,
    },
    /// A proposal that cannot be decided about.
    #[error("revision {revision} of the fleet cannot be approved or rejected: {reason}")]
    NotDecidable {
        /// Which revision.
        revision: i64,
        /// Why not.
        reason: String,
    },
    /// A source no version may come from.
    #[error("invalid model version source {given:?}: {reason}")]
    BadSource {
        /// What was given.
        given: String,
        /// What is wrong with it, and what is possible.
        reason: &'static str,
    },
    /// A tag nobody may set.
    #[error("bad tag {key:?}: {reason}")]
    BadTag {
        /// Its key, or how it begins.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A version that no robot can run.
    #[error("version {version} of {model} cannot be deployed: {reason}")]
    NotDeployable {
        /// Its model.
        model: String,
        /// Its number.
        version: String,
        /// Why.
        reason: String,
    },
    /// A word that is none of the expected ones.
    #[error("unknown {what} {word:?}: expected {expected}")]
    UnknownWord {
        /// Which kind of word.
        what: &'static str,
        /// What was given.
        word: String,
        /// What is known.
        expected: &'static str,
    },
    /// A batch that contradicts itself.
    #[error("bad log batch: {reason}")]
    BadBatch {
        /// What is wrong with it.
        reason: String,
    },
    /// A command that no robot could run.
    #[error("bad command: {path}: {reason}")]
    BadCommand {
        /// Where in the request.
        path: String,
        /// What is wrong and what is possible.
        reason: String,
    },
    /// A capture that is not taken.
    #[error("bad capture: {path}: {reason}")]
    BadCapture {
        /// Where in the request, or in the configuration.
        path: String,
        /// What is wrong and what is possible.
        reason: String,
    },
    /// A telemetry policy that cannot be obeyed.
    #[error("bad policy: {path}: {reason}")]
    BadPolicy {
        /// Where in the document.
        path: String,
        /// What is wrong and what is possible.
        reason: String,
    },
    /// A retention policy that makes no sense.
    #[error("{key}: {reason}")]
    BadRetention {
        /// Which key.
        key: String,
        /// What is wrong with it, and what it may be.
        reason: String,
    },
    /// A gate that cannot be looked at.
    #[error("bad gate {gate:?}: {path}: {reason}")]
    BadGate {
        /// Its name.
        gate: String,
        /// Where in it.
        path: String,
        /// What is wrong and what is possible.
        reason: String,
    },
    /// A rollout that cannot be made.
    #[error("bad rollout: {path}: {reason}")]
    BadRollout {
        /// Where in the request.
        path: String,
        /// What is wrong and what is possible.
        reason: String,
    },
    /// What an operator asked of a rollout that is not possible now.
    #[error("rollout {id} cannot {act} now: {reason}; possible: {possible}")]
    RolloutRefuses {
        /// Which rollout.
        id: i64,
        /// What was asked.
        act: &'static str,
        /// Why not.
        reason: String,
        /// What is possible now.
        possible: String,
    },
    /// A desired state that would be lower than the one it replaces.
    #[error("desired state {next} does not come after {current}: raise the server epoch")]
    DesiredNotNewer {
        /// What is there, `server_epoch.generation`.
        current: String,
        /// What was to replace it.
        next: String,
    },
    /// A bootstrap token that would live too long, or not at all.
    #[error("a bootstrap token lives 1 to {most_s} seconds, not {given_s}")]
    BadLifetime {
        /// What was asked for.
        given_s: u64,
        /// What is allowed.
        most_s: u64,
    },
    /// A filter or order that does not read.
    #[error(transparent)]
    BadSearch(#[from] crate::search::SearchError),
    /// What was to be logged breaks a rule of experiments, runs or models.
    #[error("{reason}")]
    BadTracking {
        /// What is wrong with it, and what it may be.
        reason: String,
    },
    /// A parameter is there with another value.
    #[error("parameter {key:?} of run {run} is {old:?} already and cannot become {new:?}: parameters never change")]
    ParamChanged {
        /// Of which run.
        run: String,
        /// Which.
        key: String,
        /// Its value.
        old: String,
        /// What it was to become.
        new: String,
    },
    /// Something that was removed is used.
    #[error("{what} {name} was deleted: restore it first")]
    Deleted {
        /// Kind of thing.
        what: &'static str,
        /// Which.
        name: String,
    },
    /// What was asked of something that was removed and must not be, or the other way.
    #[error("{what} {name} is not {state}")]
    WrongState {
        /// Kind of thing.
        what: &'static str,
        /// Which.
        name: String,
        /// What it would have to be.
        state: &'static str,
    },
}
