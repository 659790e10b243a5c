//! Which documents are the control plane's: those that a key signed which was pinned when the robot enrolled.

use edgeflow_identity::DocumentKeys;
use edgeflow_wire::{DocumentKind, Envelope, decode};
use tokio::sync::watch;

/// What a robot believes.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Whoever reaches it: a robot without an identity, on a machine of its own.
    Anyone,
    /// Who has one of these keys. A renewal can bring others.
    Pinned(watch::Receiver<DocumentKeys>),
}

impl Trust {
    /// The payload of an envelope that is to be believed.
    ///
    /// # Errors
    /// Says why it is not.
    pub fn open(&self, kind: DocumentKind, bytes: &[u8]) -> Result<String, String> {
        let envelope: Envelope = decode(bytes).map_err(|error| {
            let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
            format!("it cannot be read ({error}{cause})")
        })?;
        if let Trust::Pinned(keys) = self {
            keys.borrow().verify(kind, &envelope).map_err(|reason| {
                format!("{reason}: somebody else wrote it, or the control plane has new keys and the robot must enrol again")
            })?;
        }
        Ok(envelope.payload)
    }
}
