//! Which commands this robot has begun, on the disk before each begins: none runs twice, whatever is delivered again and
//! whenever the robot stops.

use edgeflow_wire::{Command, CommandOutcome, CommandStatusBody};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{BridgeError, Result, desired::write_durably};

/// Commands remembered one by one. Older ones are forgotten together: what was issued before a forgotten one is refused.
const REMEMBERED: usize = 1_000;

/// What is known of a command.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Known {
    /// It is new.
    New,
    /// It runs.
    Running,
    /// It ended so.
    Ended(CommandStatusBody),
    /// It may have run and was forgotten.
    TooOld,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Remembered {
    issued_us: i64,
    /// How it ended; began and did not end when missing.
    status: Option<CommandStatusBody>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Content {
    /// What was issued up to this moment, by the control plane's clock, and is not remembered may have run.
    floor_us: i64,
    commands: BTreeMap<String, Remembered>,
}

/// The commands a robot remembers.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    content: Content,
}

/// What an earlier life left.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Commands that ran when the robot stopped.
    pub(crate) interrupted: Vec<CommandStatusBody>,
    /// What was wrong with the file.
    pub(crate) damage: Option<String>,
}

impl Ledger {
    /// As `data_dir` has it. After a file that cannot be read, everything issued up to `now_us` counts as run.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub(crate) fn open(data_dir: &Path, now_us: i64) -> Result<(Self, Left)> {
        let path = data_dir.join("commands.json");
        let mut left = Left::default();
        let content = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                left.damage = Some(format!("{} could not be read ({error}): older commands are refused", path.display()));
                Content { floor_us: now_us, commands: BTreeMap::new() }
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(BridgeError::file("read", &path)(error)),
        };
        let mut ledger = Self { path, content };
        for (id, remembered) in &mut ledger.content.commands {
            if remembered.status.is_none() {
                let message = "the bridge stopped while it ran: what came of it is not known".to_owned();
                let status =
                    CommandStatusBody { id: id.clone(), outcome: CommandOutcome::Interrupted, message, result: serde_json::Value::Null };
                remembered.status = Some(status.clone());
                left.interrupted.push(status);
            }
        }
        if left.damage.is_some() || !left.interrupted.is_empty() {
            ledger.store()?;
        }
        Ok((ledger, left))
    }

    pub(crate) fn known(&self, command: &Command) -> Known {
        match self.content.commands.get(&command.id) {
            Some(Remembered { status: Some(status), .. }) => Known::Ended(status.clone()),
            Some(Remembered { status: None, .. }) => Known::Running,
            None if command.issued_us <= self.content.floor_us => Known::TooOld,
            None => Known::New,
        }
    }

    /// Remembers that a command begins. Only when this returns may it run.
    ///
    /// # Errors
    /// When it cannot be remembered; then nothing changed.
    pub(crate) fn begin(&mut self, command: &Command) -> Result<()> {
        let before = self.content.clone();
        self.content.commands.insert(command.id.clone(), Remembered { issued_us: command.issued_us, status: None });
        self.forget();
        self.store().inspect_err(|_| self.content = before)
    }

    /// Remembers how a command ended.
    ///
    /// # Errors
    /// When that cannot be written: it is remembered as long as this process lives, and as interrupted afterwards.
    pub(crate) fn end(&mut self, status: &CommandStatusBody) -> Result<()> {
        if let Some(remembered) = self.content.commands.get_mut(&status.id) {
            remembered.status = Some(status.clone());
        }
        self.store()
    }

    fn forget(&mut self) {
        while self.content.commands.len() > REMEMBERED {
            let ended = self.content.commands.iter().filter(|(_, remembered)| remembered.status.is_some());
            let Some((id, issued_us)) = ended.map(|(id, one)| (id.clone(), one.issued_us)).min_by_key(|(_, issued_us)| *issued_us) else {
                return;
            };
            self.content.commands.remove(&id);
            self.content.floor_us = self.content.floor_us.max(issued_us);
        }
    }

    fn store(&self) -> Result<()> {
        let json = serde_json::to_vec(&self.content).map_err(BridgeError::Encode)?;
        write_durably(&self.path, &json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(id: &str, issued_us: i64) -> Command {
        Command { v: 1, id: id.into(), target: "robot-1".into(), issued_us, expires_us: issued_us + 60, action: serde_json::Value::Null }
    }

    fn done(id: &str) -> CommandStatusBody {
        CommandStatusBody { id: id.into(), outcome: CommandOutcome::Done, message: String::new(), result: serde_json::Value::Null }
    }

    #[test]
    fn what_began_is_known_for_ever_and_what_did_not_end_is_interrupted() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, left) = Ledger::open(dir.path(), 0).unwrap();
        assert!(left.interrupted.is_empty() && left.damage.is_none());
        let (first, second) = (command("a", 1), command("b", 2));
        assert_eq!(ledger.known(&first), Known::New);
        ledger.begin(&first).unwrap();
        ledger.begin(&second).unwrap();
        assert_eq!(ledger.known(&first), Known::Running);
        ledger.end(&done("a")).unwrap();
        let (ledger, left) = Ledger::open(dir.path(), 0).unwrap();
        assert_eq!(ledger.known(&first), Known::Ended(done("a")));
        assert_eq!(left.interrupted.len(), 1);
        assert!(matches!(ledger.known(&second), Known::Ended(status) if status.outcome == CommandOutcome::Interrupted));
        let (_, left) = Ledger::open(dir.path(), 0).unwrap();
        assert!(left.interrupted.is_empty(), "told once");
    }

    #[test]
    fn what_is_forgotten_is_refused_and_never_run_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, _) = Ledger::open(dir.path(), 0).unwrap();
        let many = 1_010_i64;
        for n in 1..=many {
            let command = command(&n.to_string(), n);
            // Not a thousand times to the disk.
            ledger.content.commands.insert(command.id.clone(), Remembered { issued_us: n, status: Some(done(&command.id)) });
        }
        ledger.begin(&command("new", many + 1)).unwrap();
        assert_eq!(ledger.content.commands.len(), REMEMBERED);
        assert_eq!(ledger.known(&command("5", 5)), Known::TooOld);
        assert!(matches!(ledger.known(&command("500", 500)), Known::Ended(_)));
        assert_eq!(ledger.known(&command("newer", many + 2)), Known::New);
    }

    #[test]
    fn after_damage_nothing_older_runs() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("commands.json"), "{").unwrap();
        let (ledger, left) = Ledger::open(dir.path(), 100).unwrap();
        assert!(left.damage.unwrap().contains("commands.json"));
        assert_eq!((ledger.known(&command("a", 100)), ledger.known(&command("b", 101))), (Known::TooOld, Known::New));
        let (ledger, left) = Ledger::open(dir.path(), 0).unwrap();
        assert!(left.damage.is_none() && ledger.known(&command("a", 100)) == Known::TooOld, "also after a restart");
    }

    #[test]
    fn what_cannot_be_remembered_must_not_begin() {
        let dir = tempfile::tempdir().unwrap();
        let (mut ledger, _) = Ledger::open(dir.path(), 0).unwrap();
        ledger.path = dir.path().join("missing/commands.json");
        assert!(ledger.begin(&command("a", 1)).is_err());
        assert_eq!(ledger.known(&command("a", 1)), Known::New);
    }
}
