//! How many tests passed, read from the JUnit file that every runner can write.

use anyhow::{Context, Result, bail};
use std::{fmt, fs, ops::Add, path::Path};

/// Tests by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

/// A test that failed, and how.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) test: String,
    pub(crate) said: String,
    /// It held when it was tried again, so it counts as passed and is a race to be found.
    pub(crate) held_again: bool,
}

impl Counts {
    /// One check that held.
    pub(crate) const ONE: Counts = Counts { passed: 1, failed: 0, skipped: 0 };

    /// Counts the test cases of a JUnit file. A file without any is an error: a runner that ran nothing proves nothing.
    pub(crate) fn of_junit(file: &Path) -> Result<(Self, Vec<Failure>)> {
        let xml = fs::read_to_string(file).with_context(|| format!("the test runner left no {}", file.display()))?;
        Self::of_xml(&xml).with_context(|| format!("could not count {}", file.display()))
    }

    fn of_xml(xml: &str) -> Result<(Self, Vec<Failure>)> {
        let document = roxmltree::Document::parse(xml)?;
        let (mut counts, mut failures) = (Counts::default(), Vec::new());
        for case in document.descendants().filter(|node| node.has_tag_name("testcase")) {
            let first = |tags: &[&str]| case.children().find(|child| tags.iter().any(|tag| child.has_tag_name(*tag)));
            let failed = first(&["failure", "error"]);
            if let Some(told) = failed.or_else(|| first(&["flakyFailure", "flakyError"])) {
                let name = [case.attribute("classname"), case.attribute("name")];
                let said = [told.attribute("message"), told.text()];
                let all = |parts: [Option<&str>; 2], between: &str| parts.into_iter().flatten().collect::<Vec<_>>().join(between);
                failures.push(Failure { test: all(name, " "), said: all(said, "\n"), held_again: failed.is_none() });
            }
            if failed.is_some() {
                counts.failed += 1;
            } else if first(&["skipped"]).is_some() {
                counts.skipped += 1;
            } else {
                counts.passed += 1;
            }
        }
        if counts == Counts::default() {
            bail!("it holds no test case");
        }
        Ok((counts, failures))
    }
}

impl Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts { passed: self.passed + other.passed, failed: self.failed + other.failed, skipped: self.skipped + other.skipped }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_counted_by_what_they_hold() {
        let xml = r#"<testsuites><testsuite name="a"><testcase name="1"/><testcase classname="a" name="2"><failure message="x">y</failure></testcase>
            <testcase name="3"><skipped/></testcase></testsuite><testsuite><testcase name="4"><system-out/></testcase>
            <testcase name="5"><flakyFailure message="once"/></testcase></testsuite></testsuites>"#;
        let failed = Failure { test: "a 2".into(), said: "x\ny".into(), held_again: false };
        let flaky = Failure { test: "5".into(), said: "once".into(), held_again: true };
        assert_eq!(Counts::of_xml(xml).unwrap(), (Counts { passed: 3, failed: 1, skipped: 1 }, vec![failed, flaky]));
    }

    #[test]
    fn a_file_without_cases_is_an_error() {
        assert!(Counts::of_xml("<testsuites/>").is_err());
        assert!(Counts::of_xml("").is_err());
    }
}
