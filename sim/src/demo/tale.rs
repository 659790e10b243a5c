//! The story so far: what was told on the terminal is what stands in the report.

use std::path::Path;
use std::time::SystemTime;

use super::DemoError;
use super::report::{Report, Step};
use super::terminal::{Telling, Terminal};
use crate::with_causes;

/// The terminal, the report, and the step that is being told.
#[derive(Debug)]
pub struct Tale {
    /// Where the story is told.
    pub terminal: Terminal,
    /// What was measured so far.
    pub report: Report,
    /// Where seconds are counted from.
    pub started_at: SystemTime,
    current: Option<Telling>,
}

impl Tale {
    /// Nothing told yet.
    pub fn new(terminal: Terminal, started_at: SystemTime) -> Self {
        Self { terminal, report: Report::default(), started_at, current: None }
    }

    /// Opens the next step.
    pub fn begin(&mut self, name: &'static str) {
        let number = self.report.steps.len() + 1;
        self.current = Some(self.terminal.begin(number, name));
    }

    /// Whether a step is open.
    pub fn is_telling(&self) -> bool {
        self.current.is_some()
    }

    /// Shows what the open step waits for.
    pub fn waiting(&self, seen: &str) {
        if let Some(telling) = &self.current {
            self.terminal.waiting(telling.name(), seen);
        }
    }

    /// Closes the step: tells it, notes it, and passes on what it returned.
    pub fn close<T>(&mut self, told: Result<(T, String), DemoError>) -> Result<T, DemoError> {
        match told {
            Ok((value, detail)) => {
                self.note(true, detail);
                Ok(value)
            }
            Err(error) => {
                self.fail(&error);
                Err(error)
            }
        }
    }

    /// Notes an error: of the open step if there is one, of the demo as a whole unless it is known already.
    pub fn fail(&mut self, error: &DemoError) {
        if self.current.is_none() {
            if self.report.steps.last().is_some_and(|step| !step.ok) {
                return;
            }
            let name = if self.report.steps.is_empty() { "the demo starts" } else { "the demo stays up" };
            self.begin(name);
        }
        self.note(false, with_causes(error));
    }

    fn note(&mut self, ok: bool, detail: String) {
        if let Some(telling) = self.current.take() {
            self.terminal.end(&telling, ok, &detail);
            self.report.steps.push(Step { name: telling.name().to_owned(), ok, detail });
        }
    }

    /// Seconds from the start to a moment, to the millisecond.
    pub fn seconds_until(&self, moment: SystemTime) -> Option<f64> {
        moment.duration_since(self.started_at).ok().map(|since| (since.as_secs_f64() * 1000.0).round() / 1000.0)
    }

    /// Writes the report if one was asked for. A report that cannot be written is a failure of the demo.
    pub fn write_report(&mut self, path: Option<&Path>) {
        if let Some(error) = path.and_then(|path| self.report.write(path).err()) {
            self.fail(&error);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn tale() -> Tale {
        Tale::new(Terminal::new(true, 2), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn what_is_told_stands_in_the_report() {
        let mut tale = tale();
        tale.begin("one");
        assert_eq!(tale.close(Ok((7, "seven".to_owned()))).unwrap(), 7);
        tale.begin("two");
        assert!(tale.close::<()>(Err(DemoError::NotHeld("2 frames in, 1 result out".into()))).is_err());
        let steps: Vec<_> = tale.report.steps.iter().map(|step| (step.name.as_str(), step.ok, step.detail.as_str())).collect();
        assert_eq!(steps, [("one", true, "seven"), ("two", false, "2 frames in, 1 result out")]);
        assert!(!tale.report.held());
    }

    #[test]
    fn an_error_is_noted_once_and_for_the_step_that_was_open() {
        let mut tale = tale();
        tale.begin("one");
        tale.fail(&DemoError::Interrupted);
        tale.fail(&DemoError::Interrupted);
        assert_eq!(tale.report.steps.len(), 1);
        assert_eq!(tale.report.steps[0].name, "one");
    }

    #[test]
    fn an_error_before_the_first_step_is_a_step_of_its_own() {
        let mut tale = tale();
        tale.fail(&DemoError::InTheWay { what: vec!["port 5000".into()] });
        assert_eq!(tale.report.steps[0].name, "the demo starts");
        assert!(tale.report.steps[0].detail.contains("port 5000"));
    }

    #[test]
    fn seconds_count_from_the_start() {
        let moment = SystemTime::UNIX_EPOCH + std::time::Duration::from_micros(1_234_567);
        assert_eq!(tale().seconds_until(moment), Some(1.235));
    }
}
