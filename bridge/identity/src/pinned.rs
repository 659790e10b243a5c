//! The control plane's keys that sign documents to robots. What none of them signed is not believed, whoever brought it.

use base64::{Engine, engine::general_purpose::STANDARD};
use edgeflow_wire::{DocumentKind, Envelope};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// One public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentKey {
    /// The first 16 hex digits of its SHA-256, as signatures name it.
    pub key_id: String,
    /// The Ed25519 public key, base64.
    pub public_key: String,
}

/// The keys a robot pinned when it enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentKeys(Vec<(String, [u8; 32])>);

impl DocumentKeys {
    /// Reads public keys.
    ///
    /// # Errors
    /// Says which key is none, or that there is none at all.
    pub fn new(keys: &[DocumentKey]) -> Result<Self, String> {
        let read = |key: &DocumentKey| {
            let bytes = STANDARD.decode(&key.public_key).map_err(|error| format!("key {}: {error}", key.key_id))?;
            let bytes = <[u8; 32]>::try_from(bytes).map_err(|bytes| format!("key {} has {} bytes, not 32", key.key_id, bytes.len()))?;
            Ok((key.key_id.clone(), bytes))
        };
        let keys = keys.iter().map(read).collect::<Result<Vec<_>, String>>()?;
        if keys.is_empty() { Err("there is no key that signs documents".to_owned()) } else { Ok(Self(keys)) }
    }

    /// Whether one of the keys signed this envelope, as a document of this kind.
    ///
    /// # Errors
    /// Says why it is not to be believed.
    pub fn verify(&self, kind: DocumentKind, envelope: &Envelope) -> Result<(), String> {
        if envelope.signatures.is_empty() {
            return Err("it is not signed".to_owned());
        }
        let signed = Envelope::signed_bytes(kind, &envelope.payload);
        let good = envelope.signatures.iter().any(|signature| {
            let key = self.0.iter().find(|(key_id, _)| *key_id == signature.key_id);
            let bytes = STANDARD.decode(&signature.signature);
            matches!((key, bytes), (Some((_, key)), Ok(bytes)) if UnparsedPublicKey::new(&ED25519, key).verify(&signed, &bytes).is_ok())
        });
        if good {
            return Ok(());
        }
        let ids = |ids: Vec<&str>| ids.join(", ");
        Err(format!(
            "it is signed by {}, and no such signature of a pinned key ({}) is right",
            ids(envelope.signatures.iter().map(|signature| signature.key_id.as_str()).collect()),
            ids(self.0.iter().map(|(key_id, _)| key_id.as_str()).collect()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_wire::{Signature, WIRE_VERSION};
    use ring::{
        rand::SystemRandom,
        signature::{Ed25519KeyPair, KeyPair},
    };

    fn key(key_id: &str) -> (Ed25519KeyPair, DocumentKey) {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pair.as_ref()).unwrap();
        let public_key = STANDARD.encode(pair.public_key().as_ref());
        (pair, DocumentKey { key_id: key_id.into(), public_key })
    }

    fn sign(pair: &Ed25519KeyPair, key_id: &str, kind: DocumentKind, payload: &str) -> Signature {
        let signature = pair.sign(&Envelope::signed_bytes(kind, payload));
        Signature { key_id: key_id.into(), signature: STANDARD.encode(signature.as_ref()) }
    }

    fn envelope(payload: &str, signatures: Vec<Signature>) -> Envelope {
        Envelope { v: WIRE_VERSION, payload: payload.into(), signatures }
    }

    #[test]
    fn what_a_pinned_key_signed_is_believed_and_nothing_else() {
        let ((old, old_public), (new, new_public), (foreign, _)) = (key("old"), key("new"), key("foreign"));
        let keys = DocumentKeys::new(&[old_public, new_public]).unwrap();
        let kind = DocumentKind::DesiredState;
        for (pair, id) in [(&old, "old"), (&new, "new")] {
            keys.verify(kind, &envelope("{}", vec![sign(pair, id, kind, "{}")])).unwrap();
        }
        keys.verify(kind, &envelope("{}", vec![sign(&foreign, "foreign", kind, "{}"), sign(&new, "new", kind, "{}")])).unwrap();
        let good = sign(&old, "old", kind, "{}");
        for (bad, says) in [
            (envelope("{}", vec![]), "not signed"),
            (envelope("{ }", vec![good.clone()]), "signed by old"),
            (envelope("{}", vec![sign(&foreign, "old", kind, "{}")]), "old, new"),
            (envelope("{}", vec![sign(&foreign, "foreign", kind, "{}")]), "signed by foreign"),
            (envelope("{}", vec![Signature { key_id: "old".into(), signature: "?".into() }]), "signed by old"),
            (envelope("{}", vec![sign(&old, "old", DocumentKind::Command, "{}")]), "signed by old"),
        ] {
            let reason = keys.verify(kind, &bad).unwrap_err();
            assert!(reason.contains(says), "{reason}");
        }
    }

    #[test]
    fn keys_that_are_none_are_named() {
        let bad = |public_key: &str| DocumentKeys::new(&[DocumentKey { key_id: "k1".into(), public_key: public_key.into() }]).unwrap_err();
        assert!(bad("?").contains("k1") && bad("AAAA").contains("3 bytes"));
        assert!(DocumentKeys::new(&[]).unwrap_err().contains("no key"));
    }
}
