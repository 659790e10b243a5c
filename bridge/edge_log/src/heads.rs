//! How far each class has come, kept beside the database and not in it: what remains known when the database, or the end of its
//! journal, is gone. Without it a log that lost its newest entries would look like one that never had them.
//!
//! The file has three records of the same form, each with a checksum. Two are equal and on the disk before any number is given that
//! they do not cover: they name for each class a *bound* that no number has reached. Moving the bounds costs a flush, hence they are
//! moved by hundreds. The third says exactly how far each class is. It is written after each transaction and before anybody is told
//! that his entry is durable, but not flushed: it outlives the process, not the power. So it is taken at its word as long as the
//! machine has not been booted since; after that it is what was true at some moment before.

use edgeflow_wire::Class;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::table::ClassRow;

const FILE: &str = "edge_log.heads";
const NEW_FILE: &str = "edge_log.heads.new";
/// Room for one record, bytes: one page, so that damage to one does not reach the next.
const SLOT_BYTES: usize = 4096;
const FLUSHED: [usize; 2] = [0, 1];
const NOW: usize = 2;
/// Length and checksum before the record's JSON.
const HEADER_BYTES: usize = 8;
/// How far a bound is moved beyond what is needed now: what may be named as lost too much after a power cut.
const AHEAD: u64 = 256;
/// Those who write in groups move it less often than once in so many of them.
const GROUPS_AHEAD: u64 = 8;
/// Between two attempts to make a file that the disk refused.
const EVERY: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    /// Rises with each flush.
    generation: u64,
    epoch: String,
    /// In which life of the machine it was written.
    boot: String,
    /// In the order of [`Class::ALL`].
    classes: [Head; 4],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    next: u64,
    acked: u64,
    /// No number from here on was given.
    bound: u64,
}

/// What an earlier life left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// No file: a new log, one from before there were such files, or somebody removed it.
    Missing,
    /// A file, and no record in it that is whole.
    Unreadable,
    /// This.
    Told(Told),
}

/// Where the log stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) epoch: String,
    /// In the order of [`Class::ALL`].
    pub(crate) classes: [ToldClass; 4],
}

/// Where one class stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ToldClass {
    /// The control plane has acknowledged everything below, and perhaps more.
    pub(crate) acked: u64,
    /// Every number below was given.
    pub(crate) surely: u64,
    /// No number from here on was given. The same as `surely` unless the power was cut.
    pub(crate) next: u64,
}

/// The file, as long as the log is open.
#[derive(Debug)]
pub(crate) struct Heads {
    dir: PathBuf,
    record: Record,
    /// None where the disk refused it.
    file: Option<File>,
    tried: Instant,
}

/// Identity of this life of the machine; empty where the system tells none.
pub(crate) fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Reads what an earlier life left. `boot` is the present one's.
pub(crate) fn load(dir: &Path, boot: &str) -> Found {
    let bytes = match fs::read(dir.join(FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Missing,
        Err(_) => return Found::Unreadable,
    };
    let flushed = FLUSHED.into_iter().filter_map(|slot| Record::decode(&bytes, slot)).max_by_key(|record| record.generation);
    let told = match (flushed, Record::decode(&bytes, NOW)) {
        (None, None) => None,
        // Of two epochs the later counts: its record was flushed before its first transaction.
        (Some(flushed), Some(now)) if flushed.epoch != now.epoch => {
            Some(if now.generation > flushed.generation { now.told(boot) } else { flushed.told("") })
        }
        (Some(flushed), Some(now)) => Some(flushed.with(&now, boot)),
        (Some(flushed), None) => Some(flushed.told("")),
        (None, Some(now)) => Some(now.told(boot)),
    };
    told.filter(Told::holds).map_or(Found::Unreadable, Found::Told)
}

impl Record {
    fn decode(file: &[u8], slot: usize) -> Option<Self> {
        let slot = file.get(slot * SLOT_BYTES..)?;
        let number = |at: usize| slot.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
        let length = usize::try_from(number(0)?).ok()?.min(SLOT_BYTES);
        let json = slot.get(HEADER_BYTES..HEADER_BYTES + length)?;
        if crc32fast::hash(json) != number(4)? {
            return None;
        }
        serde_json::from_slice(json).ok()
    }

    fn encode(&self) -> io::Result<Vec<u8>> {
        let json = serde_json::to_vec(self)?;
        let length = u32::try_from(json.len()).ok().filter(|length| *length as usize + HEADER_BYTES <= SLOT_BYTES);
        let length = length.ok_or_else(|| io::Error::other("a record of the log's heads is too large"))?;
        Ok([&length.to_le_bytes(), &crc32fast::hash(&json).to_le_bytes(), json.as_slice()].concat())
    }

    fn is_of(&self, boot: &str) -> bool {
        !boot.is_empty() && self.boot == boot
    }

    fn told(&self, boot: &str) -> Told {
        let exact = self.is_of(boot);
        let class = |head: &Head| ToldClass { acked: head.acked, surely: head.next, next: if exact { head.next } else { head.bound } };
        let [a, b, c, d] = &self.classes;
        Told { epoch: self.epoch.clone(), classes: [a, b, c, d].map(class) }
    }

    /// What this one, flushed, and the one that was not say together of their epoch.
    fn with(&self, now: &Record, boot: &str) -> Told {
        let (mut told, exact, newer) = (self.told(""), now.is_of(boot), now.generation > self.generation);
        for (class, now) in told.classes.iter_mut().zip(&now.classes) {
            class.acked = class.acked.max(now.acked);
            class.surely = class.surely.max(now.next);
            // The bound that was flushed last holds, though an older one was wider: the log was closed since.
            class.next = match (exact, newer) {
                (true, _) => class.surely,
                (false, true) => class.next.max(now.bound),
                (false, false) => class.next,
            };
        }
        told
    }
}

impl Told {
    fn holds(&self) -> bool {
        !self.epoch.is_empty()
            && self
                .classes
                .iter()
                .all(|class| (1..=class.surely).contains(&class.acked) && class.surely <= class.next && class.next < i64::MAX as u64)
    }
}

impl Heads {
    /// Makes the file anew for a log that stands here. Where the disk refuses it, the log goes on without, and it is tried again.
    pub(crate) fn begin(dir: &Path, boot: &str, epoch: &str, rows: &[ClassRow; 4]) -> Self {
        let classes = rows.map(|row| Head { next: row.next_seq, acked: row.acked_next, bound: row.next_seq });
        let record = Record { generation: 1, epoch: epoch.to_owned(), boot: boot.to_owned(), classes };
        let mut heads = Self { dir: dir.to_owned(), record, file: None, tried: Instant::now() };
        heads.make();
        heads
    }

    /// Before a transaction that gives so many numbers of each class.
    pub(crate) fn promise(&mut self, counts: &[u64; 4]) {
        if self.file.is_none() && self.tried.elapsed() >= EVERY {
            self.make();
        }
        let mut moved = false;
        for (head, count) in self.record.classes.iter_mut().zip(counts) {
            if head.next.saturating_add(*count) > head.bound {
                head.bound = head.next.saturating_add(count.saturating_add(AHEAD.max(count.saturating_mul(GROUPS_AHEAD))));
                moved = true;
            }
        }
        if moved {
            self.flush();
        }
    }

    /// After a transaction: the log stands here now.
    pub(crate) fn note(&mut self, rows: &[ClassRow; 4]) {
        let before = self.record.classes;
        for (head, row) in self.record.classes.iter_mut().zip(rows) {
            head.next = row.next_seq;
            head.acked = row.acked_next;
            head.bound = head.bound.max(head.next);
        }
        if self.record.classes != before {
            self.attempt(|record, file| write(file, NOW, &record.encode()?));
        }
    }

    /// Before the transaction that begins another epoch, whose classes will end no later than here.
    pub(crate) fn rename(&mut self, epoch: &str, rows: &[ClassRow; 4]) {
        epoch.clone_into(&mut self.record.epoch);
        self.record.classes = rows.map(|row| Head { next: 1, acked: 1, bound: row.next_seq });
        self.flush();
    }

    /// One copy is on the disk before the other is touched.
    fn flush(&mut self) {
        self.record.generation += 1;
        self.attempt(|record, file| {
            let bytes = record.encode()?;
            let [first, second] = FLUSHED;
            write(file, first, &bytes)?;
            file.sync_data()?;
            write(file, second, &bytes)
        });
    }

    fn make(&mut self) {
        self.tried = Instant::now();
        match self.written_anew() {
            Ok(file) => self.file = Some(file),
            Err(error) => self.give_up(&error),
        }
    }

    fn written_anew(&self) -> io::Result<File> {
        let (new, path) = (self.dir.join(NEW_FILE), self.dir.join(FILE));
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&new)?;
        let mut record = self.record.encode()?;
        record.resize(SLOT_BYTES, 0);
        file.write_all(&record.repeat(FLUSHED.len() + 1))?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(&self.dir)?.sync_all()?;
        Ok(file)
    }

    fn attempt(&mut self, work: impl FnOnce(&Record, &mut File) -> io::Result<()>) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = work(&self.record, file) {
            self.give_up(&error);
        }
    }

    /// An old record would say too little: rather none.
    fn give_up(&mut self, error: &io::Error) {
        tracing::warn!(%error, "the disk does not take how far the edge log has come: should the log be damaged, what was lost is told less exactly");
        self.file = None;
        self.tried = Instant::now();
        for name in [FILE, NEW_FILE] {
            match fs::remove_file(self.dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::error!(%error, name, "a file that is out of date could not be removed");
                }
                _ => {}
            }
        }
    }
}

impl Drop for Heads {
    /// A log that was closed is known exactly, whatever happens to the power.
    fn drop(&mut self) {
        if self.record.classes.iter().any(|head| head.bound != head.next) {
            self.record.classes.iter_mut().for_each(|head| head.bound = head.next);
            self.flush();
        }
    }
}

fn write(file: &mut File, slot: usize, record: &[u8]) -> io::Result<()> {
    file.seek(SeekFrom::Start((slot * SLOT_BYTES) as u64))?;
    file.write_all(record)
}

/// How many entries of each class there are.
pub(crate) fn counts(classes: impl Iterator<Item = Class>) -> [u64; 4] {
    let mut counts = [0; 4];
    for class in classes {
        counts[class as usize] += 1;
    }
    counts
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
