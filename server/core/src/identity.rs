//! Who a robot is: a certificate of the control plane's own authority, got for a one-time bootstrap token.
//!
//! A certificate names its robot (common name) and lives for [`CERTIFICATE_LIFETIME_S`]; it is renewed with a new key over
//! itself. A bootstrap token opens nothing but one enrolment, once and soon.

use serde::Serialize;
use std::{fmt, str::FromStr};

use crate::{CoreError, RobotId};

/// How long a robot's certificate lives.
pub const CERTIFICATE_LIFETIME_S: u64 = 30 * 24 * 3600;
/// Clocks that are behind by no more than this take a new certificate at once.
pub const CLOCK_TOLERANCE_S: u64 = 300;
/// Life that is left when a certificate that was not renewed is told of. Robots renew theirs earlier.
pub const EXPIRING_S: u64 = 7 * 24 * 3600;
/// How long a bootstrap token lives, unless it is asked otherwise.
pub const BOOTSTRAP_LIFETIME_S: u64 = 15 * 60;
/// How long a bootstrap token may live.
pub const MAX_BOOTSTRAP_LIFETIME_S: u64 = 24 * 3600;

/// SHA-256 of a certificate's DER, as `sha256sum` of it prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = CoreError;

    fn from_str(text: &str) -> Result<Self, CoreError> {
        let bad = || CoreError::BadName { what: "fingerprint", name: text.to_owned(), rule: "use the 64 hex digits of a SHA-256" };
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return Err(bad());
        }
        for (index, byte) in bytes.iter_mut().enumerate() {
            let digits = text.get(index * 2..index * 2 + 2).ok_or_else(bad)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| bad())?;
        }
        Ok(Self(bytes))
    }
}

/// A certificate as the other end of a connection presented it. That our authority signed it was checked before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Common name of its subject.
    pub name: String,
    /// Which certificate.
    pub fingerprint: Fingerprint,
    /// It says nothing from then on, microseconds since the Unix epoch.
    pub not_after_us: i64,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Which.
    pub fingerprint: Fingerprint,
    /// Whose.
    pub target: RobotId,
    /// Serial number, hex.
    pub serial: String,
    /// When it was issued, microseconds since the Unix epoch.
    pub issued_at_us: i64,
    /// It says nothing from then on.
    pub not_after_us: i64,
    /// Since when it is revoked.
    pub revoked_at_us: Option<i64>,
}

/// A certificate as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CertificateView {
    /// SHA-256 of its DER, hex.
    pub fingerprint: String,
    /// Serial number, hex.
    pub serial: String,
    /// When it was issued, microseconds since the Unix epoch.
    pub issued_at_us: i64,
    /// It says nothing from then on.
    pub not_after_us: i64,
    /// Since when it is revoked; `null` while it is not.
    pub revoked_at_us: Option<i64>,
}

impl From<&Certificate> for CertificateView {
    fn from(certificate: &Certificate) -> Self {
        Self {
            fingerprint: certificate.fingerprint.to_string(),
            serial: certificate.serial.clone(),
            issued_at_us: certificate.issued_at_us,
            not_after_us: certificate.not_after_us,
            revoked_at_us: certificate.revoked_at_us,
        }
    }
}

/// A bootstrap token that was made. The token itself is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bootstrap {
    /// SHA-256 of the token.
    pub digest: [u8; 32],
    /// Whom it lets in.
    pub target: RobotId,
    /// It opens nothing from then on, microseconds since the Unix epoch.
    pub expires_at_us: i64,
}

/// When a certificate that is issued now begins and ends, microseconds since the Unix epoch.
pub fn validity(now_us: i64) -> (i64, i64) {
    (now_us.saturating_sub(us(CLOCK_TOLERANCE_S)), now_us.saturating_add(us(CERTIFICATE_LIFETIME_S)))
}

/// Certificates that end before this were not renewed in time.
pub fn expiring_before(now_us: i64) -> i64 {
    now_us.saturating_add(us(EXPIRING_S))
}

/// When a bootstrap token that is made now expires.
pub fn bootstrap_expiry(now_us: i64, lifetime_s: Option<u64>) -> Result<i64, CoreError> {
    let lifetime_s = lifetime_s.unwrap_or(BOOTSTRAP_LIFETIME_S);
    if lifetime_s == 0 || lifetime_s > MAX_BOOTSTRAP_LIFETIME_S {
        return Err(CoreError::BadLifetime { given_s: lifetime_s, most_s: MAX_BOOTSTRAP_LIFETIME_S });
    }
    Ok(now_us.saturating_add(us(lifetime_s)))
}

/// Why a certificate says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It was taken back.
    #[error("the certificate is revoked: enrol the robot again")]
    Revoked,
    /// It is too old.
    #[error("the certificate has expired: enrol the robot again")]
    Expired,
    /// There is none where there must be one.
    #[error("a robot comes with its certificate here, not with a token: enrol it with `edgeflow enroll`")]
    Missing,
    /// Its name is not that of a robot here.
    #[error("the certificate names no robot of this control plane: enrol the robot")]
    Unknown,
}

/// Whether what was presented still says who the robot is. `record` is what is known of the certificate: one that is not
/// on record was issued before a restore from a backup; our authority signed it, so it stands.
pub fn judge(presented: &Presented, record: Option<&Certificate>, now_us: i64) -> Result<(), Invalid> {
    if presented.not_after_us <= now_us {
        return Err(Invalid::Expired);
    }
    match record {
        Some(record) if record.revoked_at_us.is_some() => Err(Invalid::Revoked),
        Some(record) if record.target.as_str() != presented.name => Err(Invalid::Unknown),
        _ => Ok(()),
    }
}

fn us(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OrganisationId, TargetName};

    fn certificate(name: &str, revoked_at_us: Option<i64>) -> Certificate {
        let target = RobotId { organisation: OrganisationId::first(), name: TargetName::new(name).unwrap() };
        Certificate { fingerprint: Fingerprint([1; 32]), target, serial: "01".into(), issued_at_us: 0, not_after_us: 10, revoked_at_us }
    }

    #[test]
    fn a_certificate_lives_thirty_days_and_begins_a_little_before() {
        let now_us = 1_700_000_000_000_000;
        let (from, to) = validity(now_us);
        assert_eq!(to - now_us, 30 * 24 * 3_600_000_000);
        assert_eq!(now_us - from, 300_000_000);
    }

    #[test]
    fn a_bootstrap_token_is_short_lived() {
        assert_eq!(bootstrap_expiry(5, None).unwrap(), 5 + 900_000_000);
        assert_eq!(bootstrap_expiry(5, Some(60)).unwrap(), 5 + 60_000_000);
        for lifetime_s in [0, MAX_BOOTSTRAP_LIFETIME_S + 1, u64::MAX] {
            assert!(bootstrap_expiry(5, Some(lifetime_s)).unwrap_err().to_string().contains("86400"), "{lifetime_s}");
        }
    }

    #[test]
    fn a_certificate_says_nothing_when_it_is_revoked_expired_or_another_robots() {
        let presented = Presented { name: "r1".into(), fingerprint: Fingerprint([1; 32]), not_after_us: 10 };
        assert_eq!(judge(&presented, Some(&certificate("r1", None)), 9), Ok(()));
        assert_eq!(judge(&presented, None, 9), Ok(()), "issued before a restore");
        assert_eq!(judge(&presented, Some(&certificate("r1", None)), 10), Err(Invalid::Expired));
        assert_eq!(judge(&presented, Some(&certificate("r1", Some(3))), 9), Err(Invalid::Revoked));
        assert_eq!(judge(&presented, Some(&certificate("r2", None)), 9), Err(Invalid::Unknown));
    }

    #[test]
    fn fingerprints_read_back() {
        let fingerprint = Fingerprint(std::array::from_fn(|index| index as u8 * 7));
        assert_eq!(fingerprint.to_string().parse::<Fingerprint>().unwrap(), fingerprint);
        for text in ["", "00", &"g".repeat(64), &"é".repeat(32), &"0".repeat(65)] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }
}
