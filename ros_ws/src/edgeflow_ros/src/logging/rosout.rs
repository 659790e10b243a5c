//! `/rosout`, where every operator's tool listens.

use super::{LogOutputs, Record, Severity};
use crate::{
    constants::rcl_interfaces::msg::Log as Level,
    error::Result,
    messages::{builtin_interfaces::msg::Time, rcl_interfaces::msg::Log},
    qos::QosProfile,
    stack,
};
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, UNIX_EPOCH},
};

pub(crate) type RosoutPublisher = Arc<stack::Publisher<Log>>;

/// The publisher of the node that speaks for the program: the first one that lives.
#[derive(Default)]
pub(super) struct Rosout(Mutex<Weak<stack::Publisher<Log>>>);

impl Rosout {
    /// Every node publishes `/rosout`, as with rclcpp: that is how tools know that it can.
    pub(super) fn join(&self, node: &stack::Node, outputs: &LogOutputs) -> Result<Option<RosoutPublisher>> {
        if !outputs.rosout || stack::publishes_rosout() {
            return Ok(None);
        }
        // rcl's own profile for this topic.
        let qos = QosProfile::latched(1000).lifespan(Duration::from_secs(10));
        let publisher = Arc::new(node.publisher("/rosout", qos)?);
        let mut speaker = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if speaker.strong_count() == 0 {
            *speaker = Arc::downgrade(&publisher);
        }
        Ok(Some(publisher))
    }

    pub(super) fn publish(&self, record: &Record) {
        let speaker = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(speaker) = speaker.filter(|_| !record.internal) {
            // What fails here (the session is closed) must not be logged: it would fail again.
            drop(speaker.publish(&message(record)));
        }
    }
}

fn message(record: &Record) -> Log {
    let since = record.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let level = match record.severity {
        Severity::Debug => Level::DEBUG,
        Severity::Info => Level::INFO,
        Severity::Warn => Level::WARN,
        Severity::Error => Level::ERROR,
    };
    Log {
        stamp: Time { sec: i32::try_from(since.as_secs()).unwrap_or(i32::MAX), nanosec: since.subsec_nanos() },
        level,
        name: record.logger.to_string(),
        msg: record.message.clone(),
        file: record.file.to_string(),
        function: record.function.to_string(),
        line: record.line,
    }
}
