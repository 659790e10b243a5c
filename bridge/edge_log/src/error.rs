//! What can go wrong with the log, each with what to do about it.

use edgeflow_wire::Class;
use std::path::PathBuf;

/// Why an operation on the log failed. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The folder could not be created, or a file in it not be moved or removed.
    #[error("could not {action} {path}: check that it exists, is writable and has space")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Another process has this log open.
    #[error("the edge log in {dir} is in use by another process: stop the other bridge, or give this one its own data_dir")]
    Locked {
        /// Folder of the log.
        dir: PathBuf,
    },
    /// The file was written by a newer version.
    #[error("the edge log in {dir} has format {found}, this version knows {known}: run the newer bridge, or move the folder away")]
    Format {
        /// Folder of the log.
        dir: PathBuf,
        /// Format of the file.
        found: String,
        /// Format of this version.
        known: u32,
    },
    /// An entry is larger than one entry may be.
    #[error("an entry of kind {kind} takes {bytes} bytes, at most {limit_bytes} are allowed: send it as an artifact")]
    EntryTooLarge {
        /// Kind of the entry.
        kind: String,
        /// Its size as JSON.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
    /// An entry has no JSON form.
    #[error("could not encode an entry of kind {kind}")]
    Encode {
        /// Kind of the entry.
        kind: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A position that was never appended in this epoch: the log was restored from an older copy, or cloned.
    #[error("class {class} ends before {next_seq}, but position {wanted} was named: this log is an old copy; open a new epoch")]
    BeyondEnd {
        /// The class.
        class: Class,
        /// The position named.
        wanted: u64,
        /// What the next append will get.
        next_seq: u64,
    },
    /// The file is damaged: open the log again, which sets it aside.
    #[error("the edge log is damaged: restart the bridge, it will set the file aside and begin a new epoch")]
    Damaged(#[source] rusqlite::Error),
    /// SQLite refused for another reason, for instance a full disk.
    #[error("could not {action} the edge log: check the disk's space and health")]
    Sqlite {
        /// What was tried.
        action: &'static str,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

impl LogError {
    /// Maps an SQLite error, telling damage from trouble that may pass.
    pub(crate) fn sqlite(action: &'static str) -> impl FnOnce(rusqlite::Error) -> LogError {
        move |source| if is_damage(&source) { LogError::Damaged(source) } else { LogError::Sqlite { action, source } }
    }
}

/// Whether the error says that the file itself is broken, as opposed to busy, full or unreadable for now.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase))
}

/// Whether the disk has no room.
pub(crate) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
}
