//! The console: stderr with ROS's colours, or what `RCUTILS_LOGGING_USE_STDOUT` and
//! `RCUTILS_COLORIZED_OUTPUT` ask for.

use crate::logging::Severity;
use std::io::{IsTerminal, Write};

pub(super) struct Console {
    to: Box<dyn Write + Send>,
    colours: bool,
}

impl Console {
    pub(super) fn from_environment() -> Self {
        let variable = |name| std::env::var(name).unwrap_or_default();
        let stdout = variable("RCUTILS_LOGGING_USE_STDOUT") == "1";
        let colours = match variable("RCUTILS_COLORIZED_OUTPUT").as_str() {
            "0" => false,
            "1" => true,
            _ if stdout => std::io::stdout().is_terminal(),
            _ => std::io::stderr().is_terminal(),
        };
        Self { to: if stdout { Box::new(std::io::stdout()) } else { Box::new(std::io::stderr()) }, colours }
    }

    pub(super) fn write(&mut self, severity: Severity, line: &str) {
        let (begin, end) = if self.colours { (colour(severity), RESET) } else { ("", "") };
        // In one piece, so that lines of several processes do not mix. A console that is gone is nobody's error.
        drop(self.to.write_all(format!("{begin}{line}{end}\n").as_bytes()));
    }

    pub(super) fn flush(&mut self) {
        drop(self.to.flush());
    }
}

const RESET: &str = "\x1b[0m";

fn colour(severity: Severity) -> &'static str {
    match severity {
        Severity::Debug => "\x1b[32m",
        Severity::Info => RESET,
        Severity::Warn => "\x1b[33m",
        Severity::Error => "\x1b[31m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl Write for Page {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn colours_are_those_of_ros() {
        let page = Page::default();
        let mut console = Console { to: Box::new(page.clone()), colours: true };
        console.write(Severity::Error, "bad");
        console.colours = false;
        console.write(Severity::Error, "plain");
        assert_eq!(page.0.lock().unwrap().as_slice(), b"\x1b[31mbad\x1b[0m\nplain\n");
    }
}
