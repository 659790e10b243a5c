//! A robot that is held changes nothing of what it has: it follows the desired state it followed when the hold began, until whoever
//! holds it (the control plane, in the document itself, or somebody at the robot) lets it go.

use edgeflow_wire::{DesiredState, Hold};
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};
use tokio::sync::watch;

use crate::{
    BridgeError, Result,
    desired::{sync_parent, write_durably},
};

/// The hold that somebody at the robot asked for. It survives restarts.
#[derive(Debug)]
pub(crate) struct LocalHold {
    path: PathBuf,
    held: watch::Sender<Option<Hold>>,
}

impl LocalHold {
    /// As `data_dir` has it. A file that is there and cannot be read holds the robot: a hold is never lost without a word.
    pub(crate) fn open(data_dir: &Path) -> Self {
        let path = data_dir.join("hold.json");
        let unread = |error: &dyn std::fmt::Display| Hold {
            reason: format!("{} cannot be read ({error})", path.display()),
            by: Hold::AT_ROBOT.to_owned(),
            since_us: 0,
        };
        let held = match std::fs::read(&path) {
            Ok(json) => Some(serde_json::from_slice(&json).unwrap_or_else(|error| unread(&error))),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => Some(unread(&error)),
        };
        Self { path, held: watch::Sender::new(held) }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Hold>> {
        self.held.subscribe()
    }

    /// Who holds it here.
    pub(crate) fn now(&self) -> Option<Hold> {
        self.held.borrow().clone()
    }

    /// Holds the robot, on the disk first.
    pub(crate) fn hold(&self, reason: String, since_us: i64) -> Result<()> {
        let hold = Hold { reason, by: Hold::AT_ROBOT.to_owned(), since_us };
        let json = serde_json::to_vec(&hold).map_err(BridgeError::Encode)?;
        write_durably(&self.path, &json)?;
        self.held.send_replace(Some(hold));
        Ok(())
    }

    /// Lets it go, on the disk first. Whether it was held here.
    pub(crate) fn release(&self) -> Result<bool> {
        match std::fs::remove_file(&self.path).and_then(|()| sync_parent(&self.path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(BridgeError::file("remove", &self.path)(error)),
            _ => {}
        }
        Ok(self.held.send_replace(None).is_some())
    }
}

/// The document that is followed, kept on the disk from when it is: a hold that begins just before the power fails finds it there, and
/// not what was followed under an earlier one.
pub(crate) struct Followed {
    path: PathBuf,
}

impl Followed {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { path: data_dir.join("followed.json") }
    }

    /// What is followed from the start.
    pub(crate) fn at_start(&self, accepted: Option<&DesiredState>, hold: Option<&Hold>) -> Option<DesiredState> {
        if held(accepted, hold).is_none() {
            return accepted.cloned();
        }
        let read = match std::fs::read(&self.path) {
            Ok(json) => serde_json::from_slice::<DesiredState>(&json).map_err(|error| error.to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => Err(error.to_string()),
        };
        match read {
            // A data folder that came from another robot's image says nothing of this one.
            Ok(followed) => accepted.is_none_or(|accepted| accepted.target == followed.target).then_some(followed),
            Err(error) => {
                tracing::warn!(error, path = %self.path.display(), "what the robot followed when it was held is lost: it keeps what it has");
                None
            }
        }
    }

    /// Hands on each document that is accepted, but none while the robot is held.
    pub(crate) async fn run(
        self,
        mut accepted: watch::Receiver<Option<DesiredState>>,
        mut hold: watch::Receiver<Option<Hold>>,
        followed: watch::Sender<Option<DesiredState>>,
    ) {
        loop {
            let document = accepted.borrow_and_update().clone();
            let is_held = held(document.as_ref(), hold.borrow_and_update().as_ref()).is_some();
            if !is_held && *followed.borrow() != document {
                followed.send_replace(document);
            }
            self.keep(followed.borrow().as_ref());
            tokio::select! {
                changed = accepted.changed() => if changed.is_err() { return },
                changed = hold.changed() => if changed.is_err() { return },
            }
        }
    }

    fn keep(&self, followed: Option<&DesiredState>) {
        let Some(Ok(json)) = followed.map(serde_json::to_vec) else { return };
        if std::fs::read(&self.path).is_ok_and(|there| there == json) {
            return;
        }
        if let Err(error) = tokio::task::block_in_place(|| write_durably(&self.path, &json)) {
            tracing::warn!(%error, "after a restart while it is held the robot will not know what it followed");
        }
    }
}

/// Who holds the robot: the control plane comes first.
pub(crate) fn held(document: Option<&DesiredState>, local: Option<&Hold>) -> Option<Hold> {
    document.and_then(|document| document.hold.clone()).or_else(|| local.cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_wire::Version;

    fn document(generation: u64, hold: Option<&str>) -> Option<DesiredState> {
        let hold = hold.map(|by| Hold { by: by.into(), ..Hold::default() });
        Some(DesiredState { version: Version { server_epoch: 1, generation }, hold, ..DesiredState::default() })
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_new_is_followed_while_somebody_holds_the_robot_restarts_included() {
        let dir = tempfile::tempdir().unwrap();
        let local = LocalHold::open(dir.path());
        let accepted = watch::Sender::new(document(1, None));
        let followed = watch::Sender::new(Followed::new(dir.path()).at_start(accepted.borrow().as_ref(), None));
        let mut seen = followed.subscribe();
        let task = tokio::spawn(Followed::new(dir.path()).run(accepted.subscribe(), local.subscribe(), followed.clone()));
        accepted.send_replace(document(2, None));
        seen.wait_for(|followed| *followed == document(2, None)).await.unwrap();
        local.hold("audit".into(), 7).unwrap();
        accepted.send_replace(document(3, None));
        // The control plane holds it, too: the robot's own end of it is not enough.
        accepted.send_replace(document(4, Some("administrator")));
        let again = LocalHold::open(dir.path());
        assert_eq!(again.now().unwrap().reason, "audit");
        while Followed::new(dir.path()).at_start(accepted.borrow().as_ref(), again.now().as_ref()) != document(2, None) {
            tokio::task::yield_now().await;
        }
        assert!(local.release().unwrap() && !local.release().unwrap());
        assert_eq!(*seen.borrow(), document(2, None));
        accepted.send_replace(document(5, None));
        seen.wait_for(|followed| *followed == document(5, None)).await.unwrap();
        drop(accepted);
        task.await.unwrap();
        // Held again, and the power fails at once: what was followed under the hold before is no more.
        local.hold("audit".into(), 9).unwrap();
        assert_eq!(Followed::new(dir.path()).at_start(document(6, None).as_ref(), local.now().as_ref()), document(5, None));
        let other = DesiredState { target: "another".into(), ..document(6, None).unwrap() };
        assert_eq!(Followed::new(dir.path()).at_start(Some(&other), local.now().as_ref()), None, "it came with another robot's image");
    }

    #[test]
    fn a_hold_that_cannot_be_read_holds() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("hold.json"), "{").unwrap();
        assert!(LocalHold::open(dir.path()).now().unwrap().reason.contains("cannot be read"));
        std::fs::remove_file(dir.path().join("hold.json")).unwrap();
        assert_eq!(LocalHold::open(dir.path()).now(), None);
        std::fs::create_dir(dir.path().join("hold.json")).unwrap();
        assert!(LocalHold::open(dir.path()).now().unwrap().reason.contains("cannot be read"), "nor can what is there and no file");
    }
}
