//! The JUnit files which test runners write.

use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::{Counts, counts::Failure};
use crate::repo;

static FAILURES: Mutex<Vec<Failure>> = Mutex::new(Vec::new());

/// Where a runner shall write its JUnit file; an old one is removed first.
pub(super) fn fresh(name: &str) -> Result<PathBuf> {
    let folder = repo::target()?.join("test-reports");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.xml"));
    let _ = fs::remove_file(&file);
    Ok(file)
}

/// The last lines of what a failed test said that are told again.
const SAID_LINES: usize = 25;

/// The runner's counts; a runner that failed without a failed test (it could not start one) counts as one failure.
/// What failed is kept for [`failures`].
pub(super) fn counted(report: &Path, succeeded: bool) -> Result<Counts> {
    let (mut counts, failures) = Counts::of_junit(report)?;
    FAILURES.lock().unwrap_or_else(PoisonError::into_inner).extend(failures);
    if !succeeded && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}

/// What failed in all the stages, if only once, for the end of the output: the stages that follow bury it.
pub(super) fn failures() -> String {
    let failures = FAILURES.lock().unwrap_or_else(PoisonError::into_inner);
    let tell = |Failure { test, said, held_again }: &Failure| {
        let how = if *held_again { "flaky, held when tried again" } else { "failed" };
        let lines: Vec<&str> = said.lines().collect();
        let last: String = lines.iter().skip(lines.len().saturating_sub(SAID_LINES)).map(|line| format!("    {line}\n")).collect();
        format!("{how}: {test}\n{last}")
    };
    failures.iter().map(tell).collect()
}
