//! The durable log on the robot: what happened is true once it is in here.
//!
//! One SQLite file holds one *epoch* (one incarnation of the log). Every value class is a sequence of its own, from 1
//! and without gaps; entries leave only from the head of a class, either because the control plane acknowledged them or
//! because the byte budget was spent or they grew too old, and then a loss record stays in their place until the control plane knows.
//!
//! ```text
//! seq   1 ........ acknowledged | lost (one or a few ranges) | held entries ........ | next append
//!                  forgotten      loss records, never evicted   read() in order
//! ```
//!
//! Durability: WAL with `synchronous = FULL`, so an append is on the disk before it is sent. `NORMAL` could roll back
//! appends after a power cut which the control plane already holds, and their numbers would be used twice; group
//! appends keep the price at one `fsync` per group.
//!
//! Damage: a small file beside the database, its heads, knows how far each class has come. Entries that the database or its journal
//! did not keep are one range per class, on record like those that were given up, and the numbers go on behind it; where the power was
//! cut meanwhile, the range may end in an honest upper bound. Only when that file is gone too, a new epoch begins.
//!
//! Disk full: an append is refused whole. Acknowledging and giving up entries go on, out of a reserve that is kept beside the log.
//!
//! A file that was restored from an older copy shows when the control plane acknowledges more than was ever appended:
//! see [`LogError::BeyondEnd`] and [`EdgeLog::reopen_epoch`].

mod error;
mod evict;
mod heads;
mod inspect;
mod journal;
mod log;
mod mend;
mod open;
mod read;
mod reserve;
mod table;

pub use error::LogError;
pub use inspect::{ClassOverview, LogInspector};
pub use log::{ClassStats, EdgeLog, MAX_ENTRY_BYTES, NewEntry};
pub use mend::Lost;
pub use open::{Opened, Options};
pub use read::{DAMAGED_KIND, Run};
