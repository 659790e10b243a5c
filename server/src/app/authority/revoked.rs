//! The list of revoked certificates (X.509 CRL): for brokers, which cannot ask us, and for a control plane that is restored from a
//! backup, which has forgotten.
//!
//! Its date is of an hour ago and moves by a second at least with each list: with one that begins later than its own clock OpenSSL lets
//! nobody in, and who is given several takes the one with the latest date. It names what was revoked within the longest life of a certificate, whether or not
//! the store still knows.

use edgeflow_core::identity::{CERTIFICATE_LIFETIME_S, Certificate};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use std::{collections::BTreeMap, fs, path::PathBuf, sync::PoisonError};
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem, prelude::FromDer, revocation_list::CertificateRevocationList};

use super::{Authority, CA_UNTIL_US, at, crypto, write};
use crate::app::AppError;

/// How far a broker's clock may be behind ours.
const BEHIND_US: i64 = 3_600_000_000;
const SECOND_US: i64 = 1_000_000;
const LONGEST_US: i64 = CERTIFICATE_LIFETIME_S as i64 * SECOND_US;

/// What a list says.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Revoked {
    /// Since when, microseconds since the Unix epoch, by serial number: hex without leading zeros.
    pub(crate) serials: BTreeMap<String, i64>,
    /// The date of the list.
    pub(crate) dated_us: i64,
}

/// A serial number as lists have it.
pub(crate) fn plain(serial: &str) -> String {
    serial.trim_start_matches('0').to_owned()
}

impl Authority {
    /// The file of the list.
    pub fn revoked_file(&self) -> PathBuf {
        self.folder.join("revoked.pem")
    }

    /// The list, PEM.
    pub fn revoked_pem(&self) -> String {
        self.revoked_pem.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Writes a list of these and of what was on the list before and may still be shown.
    pub(crate) fn list_revoked(&self, certificates: &[Certificate], now_us: i64) -> Result<(), AppError> {
        let serials = certificates.iter().filter_map(|it| Some((plain(&it.serial), it.revoked_at_us?)));
        self.add(Revoked { serials: serials.collect(), dated_us: 0 }, now_us)
    }

    /// Takes another list of this authority into ours, which becomes the later of both.
    pub(crate) fn adopt_revoked(&self, list: &Revoked, now_us: i64) -> Result<(), AppError> {
        self.add(list.clone(), now_us)
    }

    fn add(&self, added: Revoked, now_us: i64) -> Result<(), AppError> {
        // Held until the file is there: of two lists the later one is the longer one.
        let mut pem = self.revoked_pem.write().unwrap_or_else(PoisonError::into_inner);
        let mut list = match fs::read_to_string(self.revoked_file()) {
            Ok(before) => self.read_revoked(&before).unwrap_or_else(|error| {
                tracing::warn!(%error, "the list of revoked certificates does not read; it is made anew");
                Revoked::default()
            }),
            Err(_) => Revoked::default(),
        };
        for (serial, since_us) in added.serials {
            list.serials.entry(serial).or_insert(since_us);
        }
        list.dated_us = list.dated_us.max(added.dated_us);
        list.serials.retain(|_, since_us| since_us.saturating_add(LONGEST_US) > now_us);
        list.dated_us = now_us.saturating_sub(BEHIND_US).max(list.dated_us.saturating_add(SECOND_US));
        let made = self.make_list(&list)?;
        write(&self.revoked_file(), made.as_bytes(), 0o644)?;
        *pem = made;
        Ok(())
    }

    /// Reads a list that this authority signed.
    pub(crate) fn read_revoked(&self, pem: &str) -> Result<Revoked, AppError> {
        let bad = |reason: String| AppError::Invalid(format!("the list of revoked certificates cannot be used: {reason}"));
        let (_, pem) = parse_x509_pem(pem.as_bytes()).map_err(|error| bad(error.to_string()))?;
        let (_, list) = CertificateRevocationList::from_der(&pem.contents).map_err(|error| bad(error.to_string()))?;
        let (_, ca) = parse_x509_certificate(&self.ca).map_err(|error| bad(error.to_string()))?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &ca.public_key().subject_public_key.data)
            .verify(list.tbs_cert_list.as_ref(), &list.signature_value.data)
            .map_err(|_| bad("another control plane's CA signed it".to_owned()))?;
        let us = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(SECOND_US);
        let serials = list.iter_revoked_certificates().map(|entry| (plain(&hex::encode(entry.raw_serial())), us(entry.revocation_date)));
        Ok(Revoked { serials: serials.collect(), dated_us: us(list.last_update()) })
    }

    fn make_list(&self, list: &Revoked) -> Result<String, AppError> {
        let entry = |(serial, since_us): (&String, &i64)| {
            let even = if serial.len() % 2 == 0 { serial.clone() } else { format!("0{serial}") };
            let serial = hex::decode(even).map_err(AppError::artifact("reading the serial number of a certificate"))?;
            let (serial_number, revocation_time) = (SerialNumber::from(serial), at(*since_us)?);
            Ok(RevokedCertParams { serial_number, revocation_time, reason_code: None, invalidity_date: None })
        };
        let params = CertificateRevocationListParams {
            this_update: at(list.dated_us)?,
            next_update: at(CA_UNTIL_US)?,
            crl_number: SerialNumber::from((list.dated_us / SECOND_US).unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs: list.serials.iter().map(entry).collect::<Result<_, AppError>>()?,
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).and_then(|list| list.pem()).map_err(crypto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_core::{OrganisationId, RobotId, identity::Fingerprint};

    const NOW_US: i64 = 1_800_000_000_000_000;

    fn revoked(serial: &str, at_us: i64) -> Certificate {
        Certificate {
            fingerprint: Fingerprint([0; 32]),
            target: RobotId { organisation: OrganisationId::first(), name: "robot-1".parse().unwrap() },
            serial: serial.into(),
            issued_at_us: at_us,
            not_after_us: at_us + LONGEST_US,
            revoked_at_us: Some(at_us),
        }
    }

    #[test]
    fn each_list_is_dated_later_and_forgets_only_what_has_expired() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path(), &[], false, NOW_US).unwrap();
        let read = || authority.read_revoked(&fs::read_to_string(authority.revoked_file()).unwrap()).unwrap();
        let mut dated_us = 0;
        for (index, serial) in ["00a1", "7f02030405060708090a0b0c0d0e0f10", "5"].iter().enumerate() {
            authority.list_revoked(&[revoked(serial, NOW_US)], NOW_US).unwrap();
            let list = read();
            assert_eq!(list.serials.len(), index + 1, "the ones before stay on it");
            assert!(list.serials.contains_key(&plain(serial)), "{list:?}");
            assert!(list.dated_us > dated_us && list.dated_us < NOW_US - BEHIND_US / 2);
            dated_us = list.dated_us;
        }
        assert_eq!(authority.revoked_pem(), fs::read_to_string(authority.revoked_file()).unwrap());
        authority.list_revoked(&[], NOW_US + LONGEST_US - 1).unwrap();
        assert_eq!(read().serials.len(), 3);
        authority.list_revoked(&[], NOW_US + LONGEST_US).unwrap();
        assert!(read().serials.is_empty());
    }

    #[test]
    fn only_our_own_list_is_believed() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let authority = Authority::open(folder.path(), &[], false, NOW_US).unwrap();
        let forger = Authority::open(other.path(), &[], false, NOW_US).unwrap();
        forger.list_revoked(&[revoked("a1", NOW_US)], NOW_US).unwrap();
        let error = authority.read_revoked(&forger.revoked_pem()).unwrap_err().to_string();
        assert!(error.contains("another control plane"), "{error}");
        for bad in ["", "no pem", authority.ca_pem()] {
            assert!(authority.read_revoked(bad).is_err());
        }
        // A file that is none does not stop the next list.
        fs::write(authority.revoked_file(), "torn").unwrap();
        authority.list_revoked(&[revoked("a1", NOW_US)], NOW_US).unwrap();
        assert_eq!(authority.read_revoked(&authority.revoked_pem()).unwrap().serials.len(), 1);
    }
}
