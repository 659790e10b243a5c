//! The newest desired state, kept on the disk: a robot knows what it shall be before it has a link, and a lower version
//! than the one taken up is refused whoever sends it.

use edgeflow_wire::{DesiredState, DocumentKind, Version, WIRE_VERSION, decode};
use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use crate::{BridgeError, Result, Trust};

/// What became of a document.
#[derive(Debug, Clone, PartialEq)]
pub enum Offer {
    /// It is the newest and is on the disk.
    Accepted(DesiredState),
    /// It is what was taken up already.
    Known,
    /// It is not taken up.
    Refused {
        /// Why, and what to do.
        reason: String,
    },
}

/// The desired state taken up.
#[derive(Debug)]
pub struct DesiredStore {
    path: PathBuf,
    robot: String,
    trust: Trust,
    accepted: Option<DesiredState>,
    damage: Option<String>,
}

impl DesiredStore {
    /// Opens the store in `data_dir` for the robot of this name, which believes what `trust` says.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(data_dir: &Path, robot: &str, trust: Trust) -> Result<Self> {
        let path = data_dir.join("desired.json");
        let read = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice::<DesiredState>(&bytes).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => return Err(BridgeError::file("read", &path)(error)),
        };
        let (accepted, damage) = match read {
            // A data folder that came from another robot's image is not this robot's state.
            Ok(accepted) => (accepted.filter(|state| state.target == robot), None),
            Err(error) => {
                let aside = path.with_extension("damaged.json");
                fs::rename(&path, &aside).map_err(BridgeError::file("set aside", &path))?;
                let damage = format!("{} could not be read ({error}) and is now {}", path.display(), aside.display());
                (None, Some(damage))
            }
        };
        Ok(Self { path, robot: robot.to_owned(), trust, accepted, damage })
    }

    /// What was wrong with the file of an earlier life, if anything: the control plane will say again what shall be.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// The newest desired state, if there ever was one.
    pub fn accepted(&self) -> Option<&DesiredState> {
        self.accepted.as_ref()
    }

    /// Takes up an envelope if it is for this robot and newer than what it has.
    ///
    /// # Errors
    /// When it cannot be kept; then it is not taken up.
    pub fn offer(&mut self, envelope: &[u8]) -> Result<Offer> {
        let payload = match self.trust.open(DocumentKind::DesiredState, envelope) {
            Ok(payload) => payload,
            Err(reason) => return Ok(Offer::Refused { reason: format!("a desired state is not taken up: {reason}") }),
        };
        let state: DesiredState = match decode(payload.as_bytes()) {
            Ok(state) => state,
            Err(error) => {
                let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
                return Ok(Offer::Refused { reason: format!("a desired state cannot be read ({error}{cause})") });
            }
        };
        if let Some(reason) = self.refusal(&state) {
            return Ok(Offer::Refused { reason });
        }
        if self.accepted.as_ref() == Some(&state) {
            return Ok(Offer::Known);
        }
        // As it came: what this version does not understand, a later one that finds the file may.
        write_durably(&self.path, payload.as_bytes())?;
        self.accepted = Some(state.clone());
        Ok(Offer::Accepted(state))
    }

    fn refusal(&self, state: &DesiredState) -> Option<String> {
        if state.v != WIRE_VERSION {
            return Some(format!("a desired state of wire version {} came, this robot speaks {WIRE_VERSION}: update the bridge", state.v));
        }
        if state.target != self.robot {
            return Some(format!(
                "a desired state for {:?} came to {:?}: check the names and tokens of both robots",
                state.target, self.robot
            ));
        }
        let known = self.accepted.as_ref()?;
        let place = |version: Version| format!("{}/{}", version.server_epoch, version.generation);
        if state.version < known.version {
            return Some(format!(
                "desired state {} came after {}: was the control plane restored from a backup without raising its server epoch?",
                place(state.version),
                place(known.version)
            ));
        }
        (state.version == known.version && state != known)
            .then(|| format!("desired state {} came again with other content: it must get a new generation", place(state.version)))
    }
}

/// Writes a file so that after a power cut it holds either the old or the new content.
pub(crate) fn write_durably(path: &Path, content: &[u8]) -> Result<()> {
    let fresh = path.with_extension("new");
    let written = File::create(&fresh)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&fresh, path))
        .and_then(|()| sync_parent(path));
    written.map_err(BridgeError::file("write", path))
}

/// Makes a rename in the folder of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use edgeflow_wire::Envelope;

    fn state(target: &str, server_epoch: u64, generation: u64) -> DesiredState {
        let version = Version { server_epoch, generation };
        DesiredState { v: WIRE_VERSION, target: target.into(), version, ..DesiredState::default() }
    }

    fn envelope(state: &DesiredState) -> Vec<u8> {
        let payload = serde_json::to_string(state).unwrap();
        edgeflow_wire::encode(&Envelope { v: WIRE_VERSION, payload, signatures: Vec::new() }).unwrap()
    }

    fn refused(offer: Offer) -> String {
        let Offer::Refused { reason } = offer else { panic!("{offer:?}") };
        reason
    }

    #[test]
    fn the_newest_is_taken_up_and_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = DesiredStore::open(dir.path(), "robot-1", Trust::Anyone).unwrap();
        assert_eq!(store.accepted(), None);
        let (second, third) = (state("robot-1", 1, 2), state("robot-1", 2, 1));
        assert_eq!(store.offer(&envelope(&second)).unwrap(), Offer::Accepted(second.clone()));
        assert_eq!(store.offer(&envelope(&second)).unwrap(), Offer::Known);
        assert_eq!(store.offer(&envelope(&third)).unwrap(), Offer::Accepted(third.clone()), "a new server epoch wins");
        let mut store = DesiredStore::open(dir.path(), "robot-1", Trust::Anyone).unwrap();
        assert_eq!(store.accepted(), Some(&third));
        assert!(refused(store.offer(&envelope(&second)).unwrap()).contains("1/2 came after 2/1"));
        assert_eq!(DesiredStore::open(dir.path(), "robot-2", Trust::Anyone).unwrap().accepted(), None);
    }

    #[test]
    fn what_is_not_for_this_robot_or_cannot_be_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = DesiredStore::open(dir.path(), "robot-1", Trust::Anyone).unwrap();
        assert!(refused(store.offer(&envelope(&state("robot-2", 1, 9))).unwrap()).contains("robot-2"));
        assert!(refused(store.offer(b"{").unwrap()).contains("cannot be read"));
        let later = OF_LATER.replace("\"v\":1", "\"v\":2");
        assert!(refused(store.offer(&envelope_of(&later)).unwrap()).contains("wire version 2"));
        assert_eq!(store.accepted(), None);
    }

    /// What a control plane of a later version may say: a kind of slot and a field that nobody here knows.
    const OF_LATER: &str =
        r#"{"v":1,"target":"robot-1","server_epoch":"1","generation":"1","dock":{"at":7},"slots":{"a":{"kind":"gripper"}}}"#;

    fn envelope_of(payload: &str) -> Vec<u8> {
        edgeflow_wire::encode(&Envelope { v: 1, payload: payload.into(), signatures: vec![] }).unwrap()
    }

    #[test]
    fn what_a_later_control_plane_says_is_taken_up_and_kept_as_it_came() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = DesiredStore::open(dir.path(), "robot-1", Trust::Anyone).unwrap();
        let Offer::Accepted(state) = store.offer(&envelope_of(OF_LATER)).unwrap() else { panic!("it was refused") };
        assert_eq!(state.slots["a"].kind, edgeflow_wire::SlotKind::Unknown);
        assert_eq!(fs::read_to_string(dir.path().join("desired.json")).unwrap(), OF_LATER, "a later bridge reads all of it");
        let mut store = DesiredStore::open(dir.path(), "robot-1", Trust::Anyone).unwrap();
        assert_eq!(store.offer(&envelope_of(OF_LATER)).unwrap(), Offer::Known);
    }

    #[test]
    fn the_same_version_with_other_content_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = DesiredStore::open(dir.path(), "robot-1", Trust::Anyone).unwrap();
        store.offer(&envelope(&state("robot-1", 1, 1))).unwrap();
        let spec = edgeflow_wire::SlotSpec {
            kind: edgeflow_wire::SlotKind::Model,
            model: "m".into(),
            version: "1".into(),
            digest: "d".into(),
            files: vec![],
        };
        let mut other = state("robot-1", 1, 1);
        other.slots.insert("default".into(), spec);
        assert!(refused(store.offer(&envelope(&other)).unwrap()).contains("other content"));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_set_aside_and_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("desired.json"), "{").unwrap();
        let store = DesiredStore::open(dir.path(), "robot-1", Trust::Anyone).unwrap();
        assert!(store.accepted().is_none() && store.damage().unwrap().contains("desired.json"));
        assert!(dir.path().join("desired.damaged.json").exists());
    }
}
