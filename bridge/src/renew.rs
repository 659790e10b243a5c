//! Keeps the robot's certificate in time: renewed with a new key while a third of its life is left, and told as a fault
//! when that does not work and the end comes near.

use edgeflow_identity::{DocumentKeys, Identity, renew};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

use crate::{Recorder, Secure};

/// Life that is left when renewal begins.
const RENEW_BEFORE: Duration = Duration::from_secs(10 * 24 * 3600);
/// Life that is left when not having renewed becomes a fault.
const FAULT_BEFORE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Time between two looks, and two attempts.
const PERIOD: Duration = Duration::from_secs(3600);
/// Time between two faults about the same.
const TELL_EVERY: Duration = Duration::from_secs(24 * 3600);

/// What is to be done about a certificate that lives so much longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Nothing yet.
    Good,
    /// Renew it.
    Due,
    /// Renew it; when that fails, tell.
    Urgent,
}

pub(crate) fn care(remaining: Duration) -> Care {
    if remaining > RENEW_BEFORE {
        Care::Good
    } else if remaining > FAULT_BEFORE {
        Care::Due
    } else {
        Care::Urgent
    }
}

/// Runs for as long as the bridge does. Keys that a renewal brings go into `keys`.
pub async fn keep_certificate(secure: Secure, keys: watch::Sender<DocumentKeys>, recorder: Recorder) {
    let mut identity = secure.identity.clone();
    let mut told: Option<tokio::time::Instant> = None;
    loop {
        let left = remaining(&identity);
        if care(left) != Care::Good {
            match renew(&identity, &secure.http, &secure.server).await {
                Ok(renewed) => {
                    tracing::info!(robot = renewed.robot(), not_after_us = renewed.not_after_us(), "the certificate was renewed");
                    keys.send_replace(renewed.documents().clone());
                    identity = renewed;
                    told = None;
                }
                Err(error) => {
                    let reason = chain(&error);
                    tracing::warn!(reason, hours_left = left.as_secs() / 3600, "the certificate could not be renewed");
                    let silent = told.is_some_and(|at| at.elapsed() < TELL_EVERY);
                    if care(left) == Care::Urgent && !silent {
                        recorder.fault("certificate", warning(left, &reason)).await;
                        told = Some(tokio::time::Instant::now());
                    }
                }
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn warning(left: Duration, reason: &str) -> String {
    if left.is_zero() {
        return format!("this robot's certificate has expired and could not be renewed: {reason}; enrol it again with `edgeflow enroll`");
    }
    let hours = left.as_secs() / 3600;
    format!("this robot's certificate expires in {hours} hours and could not be renewed: {reason}")
}

fn remaining(identity: &Identity) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_micros(identity.not_after_us().max(0).unsigned_abs()).saturating_sub(now)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_early_and_its_end_is_told_before_it_comes() {
        let days = |days: u64| Duration::from_secs(days * 24 * 3600);
        assert_eq!(
            [30, 11, 10, 8, 7, 0].map(|left| care(days(left))),
            [Care::Good, Care::Good, Care::Due, Care::Due, Care::Urgent, Care::Urgent]
        );
        assert!(warning(days(6), "no link").contains("expires in 144 hours") && warning(days(6), "no link").contains("no link"));
        assert!(warning(Duration::ZERO, "revoked").contains("has expired") && warning(Duration::ZERO, "x").contains("edgeflow enroll"));
    }
}
