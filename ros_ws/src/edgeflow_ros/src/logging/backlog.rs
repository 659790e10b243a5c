//! What is logged but not yet written. Whoever logs never waits: where the console, the disk or the
//! network is behind, records are dropped, counted, and the count is logged.

use super::{Logger, Record, Severity, throttle::Throttle};
use crate::stack::LogOutlet;
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// Records that may wait.
const CAPACITY: usize = 8192;

/// How often counts of what was left out are said, while nothing else is.
const SWEEP: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Backlog {
    state: Mutex<State>,
    arrived: Condvar,
    written: Condvar,
}

#[derive(Default)]
struct State {
    records: VecDeque<Record>,
    dropped: u64,
    /// Some have been taken out and are not written yet.
    writing: bool,
}

impl Backlog {
    pub(super) fn push(&self, record: Record) {
        let mut state = self.lock();
        if state.records.len() >= CAPACITY {
            state.dropped += 1;
        } else {
            state.records.push_back(record);
            drop(state);
            self.arrived.notify_one();
        }
    }

    pub(super) fn flush(&self, timeout: Duration) {
        let behind = |state: &mut State| state.writing || !state.records.is_empty();
        drop(self.written.wait_timeout_while(self.lock(), timeout, behind));
    }

    /// Everything that waits, and how many were dropped; empty when nothing came for a while.
    fn take(&self) -> (VecDeque<Record>, u64) {
        let waited = self.arrived.wait_timeout_while(self.lock(), SWEEP, |state| state.records.is_empty());
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.writing = true;
        (std::mem::take(&mut state.records), std::mem::take(&mut state.dropped))
    }

    fn done(&self) {
        self.lock().writing = false;
        self.written.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while holding it leaves whole records behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes for as long as the program runs.
pub(super) fn write_in_background(logger: Arc<Logger>, throttle: Arc<Throttle>, mut outlet: LogOutlet) -> std::io::Result<()> {
    let write = move || {
        loop {
            let (mut records, dropped) = logger.backlog.take();
            if dropped > 0 {
                let text = format!("{dropped} log messages were dropped: they came faster than they could be written");
                records.push_back(note(&logger, text));
            }
            for (metadata, left_out) in throttle.sweep(Instant::now()) {
                let place = metadata.file().zip(metadata.line()).map(|(file, line)| format!(" from {file}:{line}"));
                records.push_back(note(&logger, format!("{left_out} more messages{} were left out", place.unwrap_or_default())));
            }
            for record in &records {
                outlet.write(record);
                logger.rosout.publish(record);
            }
            outlet.flush();
            logger.backlog.done();
        }
    };
    std::thread::Builder::new().name("log".into()).spawn(write).map(drop)
}

/// A record about logging itself.
fn note(logger: &Logger, message: String) -> Record {
    Record {
        at: SystemTime::now(),
        severity: Severity::Warn,
        logger: logger.name(),
        message,
        file: file!(),
        line: line!(),
        function: module_path!(),
        internal: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_backlog_drops_and_counts_and_nobody_waits() {
        let logger = Logger::new();
        for i in 0..CAPACITY + 3 {
            logger.backlog.push(note(&logger, i.to_string()));
        }
        // Nothing writes here, so leaving gives up in the end.
        logger.backlog.flush(Duration::from_millis(1));
        let (records, dropped) = logger.backlog.take();
        assert_eq!((records.len(), dropped), (CAPACITY, 3));
        assert_eq!(records[0].message, "0");
        logger.backlog.done();
        logger.backlog.flush(Duration::MAX);
    }
}
