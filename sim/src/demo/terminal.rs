//! The story as a person reads it: one line per step, a spinner while something is waited for.
//!
//! On a terminal there are colours and a spinner; anywhere else (a file, a CI log, `--headless`) plain lines.

#![allow(clippy::print_stdout, reason = "the story is the program's output")]

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Where the story is told.
#[derive(Debug)]
pub struct Terminal {
    fancy: bool,
    spinner: ProgressBar,
    steps: usize,
}

/// A step that is being told.
#[derive(Debug)]
pub struct Telling {
    name: &'static str,
    number: usize,
    began: Instant,
}

impl Telling {
    /// What the step is to show.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

#[derive(Clone, Copy)]
enum Ink {
    Bold,
    Dim,
    Green,
    Red,
    Cyan,
}

impl Terminal {
    /// Tells a story of `steps` steps on stdout; plain when `headless` or when nobody watches.
    pub fn new(headless: bool, steps: usize) -> Self {
        let fancy = !headless && std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let spinner = if fancy { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("  {spinner:.cyan} {msg}") {
            spinner.set_style(style.tick_strings(&["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏", "·"]));
        }
        Self { fancy, spinner, steps }
    }

    /// Whether a person watches.
    pub fn is_fancy(&self) -> bool {
        self.fancy
    }

    /// Opens a step.
    pub fn begin(&self, number: usize, name: &'static str) -> Telling {
        self.spinner.set_message(name);
        self.spinner.enable_steady_tick(Duration::from_millis(90));
        Telling { name, number, began: Instant::now() }
    }

    /// Shows what is being waited for.
    pub fn waiting(&self, name: &str, seen: &str) {
        self.spinner.set_message(format!("{name} {}", self.ink(Ink::Dim, seen)));
    }

    /// Closes a step with what was measured, or with why it did not hold.
    pub fn end(&self, telling: &Telling, held: bool, detail: &str) {
        self.spinner.disable_steady_tick();
        let (mark, ink) = match (self.fancy, held) {
            (true, true) => ("✓", Ink::Green),
            (true, false) => ("✗", Ink::Red),
            (false, true) => ("ok", Ink::Green),
            (false, false) => ("FAILED", Ink::Red),
        };
        let count = self.ink(Ink::Dim, &format!("{:>2}/{}", telling.number, self.steps));
        let seconds = self.ink(Ink::Dim, &format!("({:.1} s)", telling.began.elapsed().as_secs_f64()));
        let name = self.ink(Ink::Bold, telling.name);
        self.say(&format!("{count} {} {name}: {detail} {seconds}", self.ink(ink, mark)));
    }

    /// Prints a line.
    pub fn say(&self, line: &str) {
        self.spinner.suspend(|| println!("{line}"));
    }

    /// Prints a line that belongs to the step before.
    pub fn aside(&self, line: &str) {
        self.say(&format!("      {}", self.ink(Ink::Dim, line)));
    }

    /// Prints a line that heads others.
    pub fn heading(&self, line: &str) {
        self.say(&self.ink(Ink::Bold, line));
    }

    /// Something for a person to open or to run.
    pub fn link(&self, text: &str) -> String {
        self.ink(Ink::Cyan, text)
    }

    /// Takes the spinner away.
    pub fn finish(&self) {
        self.spinner.finish_and_clear();
    }

    fn ink(&self, ink: Ink, text: &str) -> String {
        if !self.fancy {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Green => "32",
            Ink::Red => "31",
            Ink::Cyan => "36",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Rows under headings, each column as wide as its widest cell.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(headings.get(column).map(|heading| heading.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(headings.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let lines = table(&["robot", "in"], &[vec!["robot-1".into(), "5".into()], vec!["r".into(), "1234".into()]]);
        assert_eq!(lines, ["robot    in", "robot-1  5", "r        1234"]);
    }

    #[test]
    fn a_headless_story_has_no_escape_codes() {
        let terminal = Terminal::new(true, 3);
        assert_eq!(terminal.link("http://localhost"), "http://localhost");
        assert!(!terminal.is_fancy());
    }
}
