//! Room that is kept for making room. On a disk without any, SQLite cannot even delete: its journal has to grow first. So a log that
//! filled its disk could never note what the control plane holds, and would stay full for ever. A file beside it is given up then,
//! what is acknowledged goes, and the file is made again from what became free.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

const FILE: &str = "edge_log.reserve";
/// The journal is carried over into the database before it can begin anew, so this must exceed the journal's usual length, bytes.
const BYTES: u64 = 4 * 1024 * 1024;
/// Left free of what the reserve could take, for the journal of the next acknowledgements, bytes.
const MARGIN: u64 = 256 * 1024;
/// Between two attempts to make it whole on a disk that has no room.
const EVERY: Duration = Duration::from_secs(30);

/// The file.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
    tried: Instant,
}

impl Reserve {
    /// Makes it beside the log; on a disk that is small or full, as much of it as leaves the log at least as much.
    pub(crate) fn beside_log(dir: &Path) -> Self {
        let path = dir.join(FILE);
        let bytes = fs::metadata(&path).map_or(0, |found| found.len());
        let mut reserve = Self { path, bytes, tried: Instant::now() };
        let before = reserve.bytes;
        reserve.grow(|taken| taken / 2);
        if reserve.bytes < before.min(BYTES) {
            tracing::warn!("the disk of the edge log has no room for its reserve");
        }
        reserve
    }

    /// Gives the room up. False when there was none to give.
    pub(crate) fn release(&mut self) -> bool {
        let released = self.bytes > 0 && fs::remove_file(&self.path).is_ok();
        self.bytes = 0;
        released
    }

    /// Makes it again after it was given up and something was deleted.
    pub(crate) fn take(&mut self) {
        self.tried = Instant::now();
        self.grow(|taken| taken.min(MARGIN));
    }

    /// Makes it whole if it is not, from time to time.
    pub(crate) fn mend(&mut self) {
        if self.bytes < BYTES && self.tried.elapsed() >= EVERY {
            self.take();
        }
    }

    /// Grows to its full size; where the disk ends before, gives back what `give_back` says of what was taken.
    fn grow(&mut self, give_back: impl FnOnce(u64) -> u64) {
        if self.bytes >= BYTES {
            return;
        }
        let Ok(mut file) = File::options().append(true).create(true).open(&self.path) else { return };
        let before = self.bytes;
        // Bytes that no file system stores in less room.
        let mut noise = 0x2545_f491_4f6c_dd1d_u64;
        let mut chunk = vec![0_u8; 64 * 1024];
        while self.bytes < BYTES {
            for word in chunk.chunks_exact_mut(8) {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                word.copy_from_slice(&noise.to_le_bytes());
            }
            if file.write_all(&chunk).is_err() {
                let reached = file.metadata().map_or(self.bytes, |found| found.len());
                let keep = reached.saturating_sub(give_back(reached.saturating_sub(before))).max(before);
                self.bytes = if file.set_len(keep).is_ok() { keep } else { reached };
                return;
            }
            self.bytes += chunk.len() as u64;
        }
    }
}
