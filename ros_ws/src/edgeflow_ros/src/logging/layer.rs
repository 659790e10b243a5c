//! From a `tracing` event to a record.

use super::{Logger, Record, levels::Levels, throttle::Throttle};
use crate::stack;
use std::{
    fmt::{Debug, Write},
    sync::Arc,
    time::{Instant, SystemTime},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    subscriber::Interest,
};
use tracing_subscriber::{Layer, layer::Context};

pub(super) struct RosLayer {
    levels: Levels,
    logger: Arc<Logger>,
    throttle: Arc<Throttle>,
}

impl RosLayer {
    pub(super) fn new(levels: Levels, logger: Arc<Logger>, throttle: Arc<Throttle>) -> Self {
        Self { levels, logger, throttle }
    }

    /// The transport logs under its crate's name, everything else as the node.
    fn logger_of(&self, metadata: &Metadata<'_>) -> (Arc<str>, bool) {
        let module = metadata.target().split("::").next().unwrap_or_default();
        if stack::INTERNALS.iter().any(|name| module.starts_with(name)) { (module.into(), true) } else { (self.logger.name(), false) }
    }
}

impl<S: Subscriber> Layer<S> for RosLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Whether a callsite is wanted may change with the node's name, so only the hopeless are ruled out for good.
        if metadata.is_event() && *metadata.level() <= self.levels.most() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.is_event() && *metadata.level() <= self.levels.most() && self.levels.enabled(metadata, &self.logger_of(metadata).0)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.levels.most())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let Some(left_out) = self.throttle.admit(metadata, Instant::now()) else { return };
        let mut text = Text::default();
        event.record(&mut text);
        let (logger, internal) = self.logger_of(metadata);
        self.logger.backlog.push(Record {
            at: SystemTime::now(),
            severity: metadata.level().into(),
            logger,
            message: text.finish(left_out),
            file: metadata.file().unwrap_or_default(),
            line: metadata.line().unwrap_or_default(),
            function: metadata.module_path().unwrap_or_default(),
            internal,
        });
    }
}

/// The message, and behind it the fields as `key=value`, quoted where they would not be read as one word.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn field(&mut self, name: &str, value: &str) {
        let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"' || c == '=');
        // What Debug has quoted already stays as it is.
        let quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
        let written = if plain || quoted { write!(self.fields, " {name}={value}") } else { write!(self.fields, " {name}={value:?}") };
        debug_assert!(written.is_ok(), "a String takes everything");
    }

    fn finish(self, left_out: u64) -> String {
        let mut text = self.message + &self.fields;
        if left_out > 0 {
            text += &format!(" ({left_out} more like this were left out)");
        }
        // rcl's strings end at the first NUL.
        text.trim_start().replace('\0', "\\0")
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.field(name.trim_start_matches("r#"), &format!("{value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_string(),
            name => self.field(name.trim_start_matches("r#"), value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use tracing_subscriber::layer::SubscriberExt;

    #[derive(Clone, Default)]
    struct Texts(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Texts {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut text = Text::default();
            event.record(&mut text);
            self.0.lock().unwrap().push(text.finish(0));
        }
    }

    #[test]
    fn a_message_reads_as_a_sentence_with_its_fields_behind_it() {
        let texts = Texts::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(texts.clone()), || {
            let error = std::io::Error::other("no such file");
            tracing::warn!(%error, robot.name = "robot_1", frames = 3, ratio = 0.5, empty = "", "could not {}", "read");
            tracing::warn!(path = ?std::path::Path::new("/a b"), only = true);
            tracing::warn!("a\0b");
        });
        let texts = texts.0.lock().unwrap();
        assert_eq!(texts[0], "could not read error=\"no such file\" robot.name=robot_1 frames=3 ratio=0.5 empty=\"\"");
        assert_eq!(texts[1], "path=\"/a b\" only=true");
        assert_eq!(texts[2], "a\\0b");
    }
}
