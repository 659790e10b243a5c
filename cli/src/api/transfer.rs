//! Files from the control plane: with a bar, going on where they were cut off, and only in place when they are whole.

use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use super::client::Client;
use crate::error::CliError;

/// A bar on standard error, where that is a terminal.
pub(super) fn bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Fetches what is at `path` into the file `out`, which is not there yet. `sha256` is 64 hex digits.
pub(super) async fn fetch(
    client: &Client,
    path: &str,
    (size_bytes, sha256): (u64, &str),
    out: &Path,
    bar: &ProgressBar,
) -> Result<(), CliError> {
    let part = PathBuf::from(format!("{}.part", out.display()));
    let failed = |source| CliError::Write { path: part.display().to_string(), source };
    let mut have = fs::metadata(&part).map_or(0, |metadata| metadata.len());
    if have > size_bytes {
        fs::remove_file(&part).map_err(failed)?;
        have = 0;
    }
    bar.inc(have);
    let mut file = OpenOptions::new().create(true).append(true).open(&part).map_err(failed)?;
    if have < size_bytes {
        let take = |bytes: &[u8]| {
            bar.inc(bytes.len() as u64);
            file.write_all(bytes).map_err(failed)
        };
        client.download(path, have, take).await?;
        file.sync_all().map_err(failed)?;
    }
    if digest(&part).map_err(failed)? != sha256 {
        fs::remove_file(&part).map_err(failed)?;
        let reason = "what came does not have its SHA-256 and was removed: fetch it again".to_owned();
        return Err(CliError::Input { path: out.display().to_string(), reason });
    }
    fs::rename(&part, out).map_err(failed)
}

/// SHA-256 of a file, 64 hex digits.
pub(super) fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hasher, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hasher.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}
