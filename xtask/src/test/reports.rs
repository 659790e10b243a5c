//! The JUnit files which test runners write.

use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
};

use super::Counts;
use crate::repo;

/// Where a runner shall write its JUnit file; an old one is removed first.
pub(super) fn fresh(name: &str) -> Result<PathBuf> {
    let folder = repo::target()?.join("test-reports");
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{name}.xml"));
    let _ = fs::remove_file(&file);
    Ok(file)
}

/// The runner's counts; a runner that failed without a failed test (it could not start one) counts as one failure.
pub(super) fn counted(report: &Path, succeeded: bool) -> Result<Counts> {
    let mut counts = Counts::of_junit(report)?;
    if !succeeded && counts.failed == 0 {
        counts.failed = 1;
    }
    Ok(counts)
}
