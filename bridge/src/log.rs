//! The edge log on a thread of its own: nobody else waits for the disk, and what waits for it is written in groups.

use edgeflow_edge_log::{ClassStats, EdgeLog, LogError, NewEntry, Opened, Options};
use edgeflow_uplink::{Backlog, Ends, Limits};
use edgeflow_wire::{Batch, Class, EntryBody, FaultBody, Hello, WIRE_VERSION};
use std::{
    error::Error,
    path::Path,
    path::PathBuf,
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot, watch},
};

use crate::{BridgeError, Clock, Receipts, Result, SOFTWARE, commands::ServerClock};

/// Entries that may wait for the disk before those who bring more have to wait too.
const QUEUE: usize = 4_096;
/// Entries written in one transaction.
const GROUP: usize = 512;
/// Entries kept in memory while the disk takes none.
const HELD_BACK: usize = 16_384;
/// Between two attempts to write what the disk refused.
const RETRY: Duration = Duration::from_secs(1);
/// Between two looks for entries that have become too old.
const EXPIRE_EVERY: Duration = Duration::from_secs(60);

/// What the log says of itself, after every change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogSnapshot {
    /// Identity of the present incarnation.
    pub epoch: String,
    /// Counters, in the order of [`Class::ALL`].
    pub classes: Vec<ClassStats>,
}

enum Command {
    Append(Box<NewEntry>, Option<Arc<Receipts>>),
    /// Answered when everything that was appended before is on the disk.
    Written(oneshot::Sender<()>),
    Hello(oneshot::Sender<Result<Hello>>),
    Read {
        class: Class,
        from_seq: u64,
        limits: Limits,
        answer: oneshot::Sender<Result<Batch>>,
    },
    Acknowledge {
        class: Class,
        next_seq: u64,
        answer: oneshot::Sender<Result<()>>,
    },
    NewEpoch {
        reason: String,
        answer: oneshot::Sender<Result<()>>,
    },
}

/// Access to the log. The log closes when the last handle is gone and everything is written.
#[derive(Debug, Clone)]
pub struct LogHandle {
    commands: mpsc::Sender<Command>,
    ends: watch::Receiver<Ends>,
    snapshot: watch::Receiver<LogSnapshot>,
    clock: Clock,
    server: ServerClock,
}

/// The log's thread.
#[derive(Debug)]
pub struct LogThread(thread::JoinHandle<()>);

impl LogThread {
    /// Waits until every handle is gone and everything is on the disk.
    pub async fn closed(self) {
        let joined = tokio::task::spawn_blocking(move || self.0.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the edge log's thread ended badly");
        }
    }
}

impl LogHandle {
    /// Opens the log in `dir` and starts its thread. What was wrong with an earlier log is recorded as a fault. A disk that is full, or
    /// does not answer for another reason that may pass, is tried again until it does; entries wait in memory.
    ///
    /// # Errors
    /// A log that is another's or a newer version's, a folder that cannot be used. Must be called on a tokio runtime.
    pub fn open(dir: &Path, options: Options, clock: Clock) -> Result<(Self, LogThread)> {
        let (log, opened) = match EdgeLog::open(dir, options) {
            Ok((log, opened)) => (Some(log), Ok(opened)),
            Err(error @ LogError::Sqlite { .. }) => (None, Err(error)),
            Err(error) => return Err(error.into()),
        };
        let mut keeper = Keeper {
            log,
            dir: dir.to_owned(),
            options,
            clock,
            pending: Vec::new(),
            receipts: Vec::new(),
            waiting: Vec::new(),
            overflowed: 0,
            refused: None,
            expired: None,
            ends: watch::Sender::new([1; 4]),
            snapshot: watch::Sender::new(LogSnapshot::default()),
        };
        match opened {
            Ok(opened) => keeper.tell_opened(&opened),
            Err(error) => {
                let cause = error.source().map(ToString::to_string).unwrap_or_default();
                tracing::error!(%error, cause, "the edge log cannot be opened now");
                keeper.hold_fault(format!("when the bridge started: {error}: {cause}"));
                keeper.refused = Some(Instant::now());
            }
        }
        keeper.write();
        keeper.publish();
        let (commands, receiver) = mpsc::channel(QUEUE);
        let (ends, snapshot) = (keeper.ends.subscribe(), keeper.snapshot.subscribe());
        let runtime = Handle::current();
        let thread = thread::Builder::new()
            .name("edge_log".to_owned())
            .spawn(move || keeper.run(&runtime, receiver))
            .map_err(BridgeError::file("start a thread for", dir))?;
        Ok((Self { commands, ends, snapshot, clock, server: ServerClock::default() }, LogThread(thread)))
    }

    /// Hands over an entry; waits only when the disk is far behind.
    ///
    /// # Errors
    /// When the log is closed.
    pub async fn append(&self, entry: NewEntry) -> Result<()> {
        self.commands.send(Command::Append(Box::new(entry), None)).await.map_err(|_| BridgeError::LogClosed)
    }

    /// As [`LogHandle::append`], and `receipts` learns when the entry is on the disk and when the control plane has it.
    ///
    /// # Errors
    /// When the log is closed.
    pub async fn append_counted(&self, entry: NewEntry, receipts: &Arc<Receipts>) -> Result<()> {
        self.commands.send(Command::Append(Box::new(entry), Some(Arc::clone(receipts)))).await.map_err(|_| BridgeError::LogClosed)
    }

    /// Returns when everything that was appended before is on the disk.
    ///
    /// # Errors
    /// When the log closed before, or the disk took nothing for so long that entries were given up.
    pub async fn written(&self) -> Result<()> {
        let (answer, receiver) = oneshot::channel();
        self.commands.send(Command::Written(answer)).await.map_err(|_| BridgeError::LogClosed)?;
        receiver.await.map_err(|_| BridgeError::LogClosed)
    }

    /// How far the log has grown.
    pub fn ends(&self) -> watch::Receiver<Ends> {
        self.ends.clone()
    }

    /// What the log says of itself.
    pub fn snapshot(&self) -> watch::Receiver<LogSnapshot> {
        self.snapshot.clone()
    }

    /// The control plane's clock, as its acknowledgements tell it.
    pub(crate) fn server_clock(&self) -> ServerClock {
        self.server.clone()
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command) -> Result<T> {
        let (answer, receiver) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| BridgeError::LogClosed)?;
        receiver.await.map_err(|_| BridgeError::LogClosed)?
    }
}

impl Backlog for LogHandle {
    type Error = BridgeError;

    async fn hello(&mut self) -> Result<Hello> {
        self.ask(Command::Hello).await
    }

    async fn read(&mut self, class: Class, from_seq: u64, limits: Limits) -> Result<Batch> {
        self.ask(|answer| Command::Read { class, from_seq, limits, answer }).await
    }

    async fn acknowledge(&mut self, class: Class, next_seq: u64) -> Result<()> {
        self.ask(|answer| Command::Acknowledge { class, next_seq, answer }).await
    }

    fn server_time(&mut self, server_us: i64) {
        self.server.heard(server_us, self.clock.now().t_us);
    }

    async fn new_epoch(&mut self, reason: &str) -> Result<()> {
        self.ask(|answer| Command::NewEpoch { reason: reason.to_owned(), answer }).await
    }
}

/// An entry on its way to the disk, and who counts it.
struct Pending {
    entry: NewEntry,
    receipts: Option<Arc<Receipts>>,
}

/// What runs on the thread.
struct Keeper {
    /// None while a damaged log is being replaced, or the disk lets none be opened.
    log: Option<EdgeLog>,
    dir: PathBuf,
    options: Options,
    clock: Clock,
    /// Appended by others, not yet on the disk.
    pending: Vec<Pending>,
    /// Who counts entries that are on the disk.
    receipts: Vec<Weak<Receipts>>,
    /// Who wants to know when that is on the disk.
    waiting: Vec<oneshot::Sender<()>>,
    /// Entries given up because the disk took none for too long.
    overflowed: u64,
    /// When the disk last took nothing: those who bring more need not wait until it was asked again for each of them.
    refused: Option<Instant>,
    /// When it was last looked for entries that are too old.
    expired: Option<Instant>,
    ends: watch::Sender<Ends>,
    snapshot: watch::Sender<LogSnapshot>,
}

impl Keeper {
    fn run(mut self, runtime: &Handle, mut commands: mpsc::Receiver<Command>) {
        loop {
            let command = if self.pending.is_empty() {
                commands.blocking_recv()
            } else {
                // The disk refused: go on serving, since acknowledgements make room, and try again from time to time.
                match runtime.block_on(async { tokio::time::timeout(RETRY, commands.recv()).await }) {
                    Ok(command) => command,
                    Err(_) => {
                        self.write();
                        self.publish();
                        continue;
                    }
                }
            };
            let Some(command) = command else { break };
            // Before a hello says what is held.
            self.expire();
            self.take(command);
            while self.pending.len() < GROUP
                && let Ok(command) = commands.try_recv()
            {
                self.take(command);
            }
            self.write();
            self.publish();
        }
        self.refused = None;
        self.write();
        if !self.pending.is_empty() {
            tracing::error!(entries = self.pending.len(), "entries could not be written before the bridge stopped");
        }
    }

    /// Gives up what is too old. A log that nobody writes or reads does not grow, so nothing is lost by not looking then.
    fn expire(&mut self) {
        if self.expired.is_some_and(|at| at.elapsed() < EXPIRE_EVERY) {
            return;
        }
        self.expired = Some(Instant::now());
        let now = self.clock.now();
        loop {
            match self.with(|log| log.expire(now.t_us, now.boot_us)) {
                Ok(0) => return,
                Ok(entries) => tracing::warn!(entries, "entries became too old before the control plane took them"),
                Err(error) => return tracing::error!(error = &error as &dyn Error, "the edge log gives up no entries"),
            }
        }
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Append(entry, receipts) => self.hold(Pending { entry: *entry, receipts }),
            // What was given up will never be written, and whose it was is not known: nobody is told that all is on the disk.
            Command::Written(answer) if self.overflowed > 0 => drop(answer),
            Command::Written(answer) => {
                self.waiting.retain(|waiting| !waiting.is_closed());
                self.waiting.push(answer);
            }
            Command::Hello(answer) => drop(answer.send(self.hello())),
            Command::Read { class, from_seq, limits, answer } => drop(answer.send(self.read(class, from_seq, limits))),
            Command::Acknowledge { class, next_seq, answer } => {
                let result = self.with(|log| log.acknowledge(class, next_seq));
                if result.is_ok() {
                    self.counted(class).for_each(|receipts| receipts.settled(next_seq));
                }
                // There may be room now.
                self.refused = self.refused.filter(|_| result.is_err());
                drop(answer.send(result));
            }
            Command::NewEpoch { reason, answer } => {
                let result = self.with(EdgeLog::reopen_epoch);
                if result.is_ok() {
                    self.renumber();
                    self.hold_fault(format!("a new epoch of the edge log began: {reason}"));
                }
                self.publish();
                drop(answer.send(result.map(drop)));
            }
        }
    }

    /// Those who count entries of this class.
    fn counted(&self, class: Class) -> impl Iterator<Item = Arc<Receipts>> {
        self.receipts.iter().filter_map(Weak::upgrade).filter(move |receipts| receipts.class() == class)
    }

    fn renumber(&self) {
        let stats = self.log.as_ref().and_then(|log| log.stats().ok()).unwrap_or_default();
        for class in &stats {
            self.counted(class.class).for_each(|receipts| receipts.renumbered(class.appended + 1));
        }
    }

    /// Entries that were pending are on the disk, with these numbers.
    fn count(&mut self, written: Vec<Pending>, seqs: &[u64]) {
        for (Pending { receipts, .. }, seq) in written.into_iter().zip(seqs) {
            let Some(receipts) = receipts else { continue };
            receipts.written(*seq);
            if !self.receipts.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(&receipts))) {
                self.receipts.retain(|known| known.strong_count() > 0);
                self.receipts.push(Arc::downgrade(&receipts));
            }
        }
    }

    /// Keeps an entry until it is written. Too many, and the least valuable go.
    fn hold(&mut self, pending: Pending) {
        self.pending.push(pending);
        if self.pending.len() > HELD_BACK
            && let Some(least) = self.pending.iter().map(|pending| pending.entry.class).max()
            && let Some(at) = self.pending.iter().position(|pending| pending.entry.class == least)
        {
            self.pending.remove(at);
            self.overflowed += 1;
            self.waiting.clear();
        }
    }

    fn hold_fault(&mut self, message: String) {
        let now = self.clock.now();
        let body = EntryBody::Fault(FaultBody { source: "edge_log".to_owned(), message });
        let entry = NewEntry { class: Class::Critical, t_us: now.t_us, boot_us: now.boot_us, content: body.into() };
        self.hold(Pending { entry, receipts: None });
    }

    fn with<T>(&mut self, work: impl FnOnce(&mut EdgeLog) -> Result<T, LogError>) -> Result<T> {
        let result = work(self.log.as_mut().ok_or(BridgeError::LogClosed)?);
        if matches!(result, Err(LogError::Damaged(_))) {
            self.replace();
        }
        Ok(result?)
    }

    /// The file is damaged: opening it again sets it aside.
    fn replace(&mut self) {
        self.log = None;
        match EdgeLog::open(&self.dir, self.options) {
            Ok((log, opened)) => {
                self.log = Some(log);
                self.tell_opened(&opened);
            }
            Err(error) => tracing::error!(error = &error as &dyn Error, "the edge log cannot be opened again"),
        }
    }

    fn tell_opened(&mut self, opened: &Opened) {
        match opened {
            Opened::Created | Opened::Continued => {}
            Opened::Shortened { lost } => {
                self.hold_fault(format!("the disk did not keep the newest entries of the edge log: {lost} are on record as lost"));
            }
            Opened::Replaced { set_aside, reason, lost } => {
                let aside = set_aside.as_ref().map(|path| format!(" and set aside as {}", path.display())).unwrap_or_default();
                let lost = match lost {
                    Some(lost) => format!("{lost} are on record as lost"),
                    None => "nothing tells how many entries are lost".to_owned(),
                };
                self.hold_fault(format!("the edge log was damaged ({reason}){aside}: {lost}"));
            }
        }
    }

    /// Writes what is pending, in groups; what the disk refuses stays.
    fn write(&mut self) {
        if self.refused.is_some_and(|at| at.elapsed() < RETRY) {
            return;
        }
        self.refused = None;
        if self.log.is_none() {
            self.replace();
        }
        while !self.pending.is_empty() {
            let group = self.pending.len().min(GROUP);
            let entries: Vec<NewEntry> = self.pending.iter().take(group).map(|pending| pending.entry.clone()).collect();
            match self.with(|log| log.append_all(&entries)) {
                Ok(seqs) => {
                    let written = self.pending.drain(..group).collect();
                    self.count(written, &seqs);
                }
                Err(BridgeError::Log(LogError::EntryTooLarge { .. } | LogError::Encode { .. })) => self.write_singly(group),
                Err(error) => {
                    tracing::error!(error = &error as &dyn Error, waiting = self.pending.len(), "the edge log takes no entries");
                    self.refused = Some(Instant::now());
                    return;
                }
            }
        }
        if self.overflowed > 0 {
            let message = format!("{} entries were lost because the disk took none: check its space and health", self.overflowed);
            self.overflowed = 0;
            self.hold_fault(message);
            self.write();
        }
        for waiting in self.waiting.drain(..) {
            // Who asked may have gone.
            waiting.send(()).ok();
        }
    }

    /// One of the group can never be written: find it, and say so in its place.
    fn write_singly(&mut self, group: usize) {
        for _ in 0..group {
            let Some(entry) = self.pending.first().map(|pending| pending.entry.clone()) else { return };
            let error = match self.with(|log| log.append_all(&[entry])) {
                Ok(seqs) => {
                    let written = self.pending.remove(0);
                    self.count(vec![written], &seqs);
                    continue;
                }
                Err(error) => error,
            };
            if !matches!(error, BridgeError::Log(LogError::EntryTooLarge { .. } | LogError::Encode { .. })) {
                return;
            }
            self.pending.remove(0);
            let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            self.hold_fault(format!("an entry was refused: {reason}"));
        }
    }

    fn hello(&mut self) -> Result<Hello> {
        let now = self.clock.now();
        let classes = self.with(|log| log.positions())?;
        let epoch = self.log.as_ref().map(|log| log.epoch().to_owned()).ok_or(BridgeError::LogClosed)?;
        Ok(Hello { v: WIRE_VERSION, epoch, software: SOFTWARE.to_owned(), classes, t_us: now.t_us, boot_us: now.boot_us })
    }

    fn read(&mut self, class: Class, from_seq: u64, limits: Limits) -> Result<Batch> {
        let run = self.with(|log| log.read(class, from_seq, limits.max_entries, limits.max_bytes))?;
        let epoch = self.log.as_ref().map(|log| log.epoch().to_owned()).ok_or(BridgeError::LogClosed)?;
        Ok(Batch { v: WIRE_VERSION, epoch, class, loss: run.loss, entries: run.entries })
    }

    fn publish(&self) {
        let Some(log) = &self.log else { return };
        let Ok(classes) = log.stats() else { return };
        let mut ends = [1; 4];
        for (end, stats) in ends.iter_mut().zip(&classes) {
            *end = stats.appended + 1;
        }
        self.ends.send_if_modified(|known| std::mem::replace(known, ends) != ends);
        let snapshot = LogSnapshot { epoch: log.epoch().to_owned(), classes };
        self.snapshot.send_if_modified(|known| {
            let changed = *known != snapshot;
            if changed {
                *known = snapshot;
            }
            changed
        });
    }
}

#[cfg(test)]
mod tests;
