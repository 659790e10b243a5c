//! Captures: recordings that robots make of their topics, offered, taken in parts, kept for a while.

use edgeflow_wire::CaptureInfo;
use serde::Serialize;
use std::collections::BTreeMap;

use crate::{CoreError, RobotId};

const MAX_REASON_BYTES: usize = 500;
const MAX_TOPICS: usize = 200;
const DAY_US: i64 = 86_400_000_000;
/// One whose parts cease to come is given up after so long.
const UNFINISHED_US: i64 = 7 * DAY_US;
/// Captures of one robot that may be on their way at the same time.
pub const MAX_UNFINISHED: usize = 4;

/// What is kept of captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// Days, from when a capture was whole.
    pub keep_days: u32,
    /// Most bytes of all of them; the oldest make room.
    pub max_bytes: u64,
    /// Most bytes of one.
    pub max_capture_bytes: u64,
}

impl Default for Keeping {
    fn default() -> Self {
        Self { keep_days: 30, max_bytes: 10 << 30, max_capture_bytes: 512 << 20 }
    }
}

impl Keeping {
    /// Checks that the bounds make sense together.
    ///
    /// # Errors
    /// Names the key.
    pub fn validate(&self) -> Result<(), CoreError> {
        let bad = |key: &str, reason: String| Err(CoreError::BadCapture { path: format!("captures.{key}"), reason });
        if self.keep_days == 0 {
            return bad("keep_days", "0 would keep none: give 1 at least".to_owned());
        }
        if self.max_capture_bytes == 0 || self.max_capture_bytes > self.max_bytes {
            return bad("max_capture_bytes", format!("{} is not in 1 to max_bytes, {}", self.max_capture_bytes, self.max_bytes));
        }
        Ok(())
    }
}

/// Checks what a robot offers.
///
/// # Errors
/// The first thing that is wrong, and where.
pub fn check(info: &CaptureInfo, keeping: &Keeping) -> Result<(), CoreError> {
    let bad = |path: &str, reason: String| Err(CoreError::BadCapture { path: path.to_owned(), reason });
    check_id(&info.id)?;
    if info.sha256.len() != 64 || !info.sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
        return bad("sha256", "it is not 64 lower-case hex digits".to_owned());
    }
    if info.size_bytes == 0 || info.size_bytes > keeping.max_capture_bytes {
        return bad("size_bytes", format!("{} is not in 1 to {}", info.size_bytes, keeping.max_capture_bytes));
    }
    if info.reason.len() > MAX_REASON_BYTES {
        return bad("reason", format!("{} bytes are more than {MAX_REASON_BYTES}", info.reason.len()));
    }
    if info.topics.len() > MAX_TOPICS || info.topics.keys().any(|topic| topic.len() > 255) {
        return bad("topics", format!("more than {MAX_TOPICS} topics, or a name of more than 255 bytes"));
    }
    Ok(())
}

/// Checks the name of a capture, which becomes part of a path.
///
/// # Errors
/// What is allowed.
pub fn check_id(id: &str) -> Result<(), CoreError> {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if id.is_empty() || id.len() > 63 || id.starts_with('-') || !id.bytes().all(word) {
        return Err(CoreError::BadCapture {
            path: "id".to_owned(),
            reason: "use 1 to 63 lower-case letters, digits and dashes".to_owned(),
        });
    }
    Ok(())
}

/// Why a capture is here no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Gone {
    /// It was kept for as long as is configured.
    Age,
    /// It made room for newer ones.
    Space,
    /// Its parts ceased to come.
    Unfinished,
    /// What came was not what was offered.
    Mismatch,
}

impl Gone {
    /// All of them.
    pub const ALL: [Gone; 4] = [Gone::Age, Gone::Space, Gone::Unfinished, Gone::Mismatch];

    /// Its name in rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Gone::Age => "age",
            Gone::Space => "space",
            Gone::Unfinished => "unfinished",
            Gone::Mismatch => "mismatch",
        }
    }
}

/// A capture that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Place in the order of all captures.
    pub number: i64,
    /// Whose.
    pub robot: RobotId,
    /// What it is.
    pub info: CaptureInfo,
    /// When it was offered, or its newest part came, microseconds since the Unix epoch.
    pub touched_us: i64,
    /// When it was whole.
    pub stored_us: Option<i64>,
    /// When and why it went.
    pub gone: Option<(i64, Gone)>,
}

/// What is due to go at `now_us`, of those that are here, in any order: the row's place, and why.
pub fn due(here: &[Offered], keeping: &Keeping, now_us: i64) -> Vec<(i64, Gone)> {
    let mut due = Vec::new();
    let mut kept: Vec<(i64, i64, u64)> = Vec::new();
    for one in here.iter().filter(|one| one.gone.is_none()) {
        match one.stored_us {
            Some(stored_us) if now_us - stored_us >= i64::from(keeping.keep_days) * DAY_US => due.push((one.number, Gone::Age)),
            Some(stored_us) => kept.push((stored_us, one.number, one.info.size_bytes)),
            None if now_us - one.touched_us >= UNFINISHED_US => due.push((one.number, Gone::Unfinished)),
            None => {}
        }
    }
    kept.sort_unstable();
    let mut total: u64 = kept.iter().map(|(_, _, bytes)| bytes).sum();
    for (_, number, bytes) in kept {
        if total <= keeping.max_bytes {
            break;
        }
        total -= bytes;
        due.push((number, Gone::Space));
    }
    due
}

/// Where a capture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapturePlace {
    /// On its way from the robot.
    Uploading,
    /// Here, whole.
    Stored,
    /// Here no more.
    Gone,
}

/// A capture as shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CaptureView {
    /// Its name.
    pub id: String,
    /// Whose.
    pub target: String,
    /// Where it is.
    pub place: CapturePlace,
    /// Why it was made.
    pub reason: String,
    /// Version of the policy that says of what.
    pub policy: u64,
    /// When there was a reason, by the robot's clock, microseconds since the Unix epoch.
    pub triggered_us: i64,
    /// Time of its first message.
    pub start_us: i64,
    /// Time of its last message.
    pub end_us: i64,
    /// Messages in it.
    pub messages: u64,
    /// Messages that the robot could not write.
    pub missed: u64,
    /// Topic to its messages.
    pub topics: BTreeMap<String, u64>,
    /// Size of the file.
    pub size_bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Bytes that came so far.
    pub received_bytes: u64,
    /// When it was whole, by our clock.
    pub stored_us: Option<i64>,
    /// When it went.
    pub gone_us: Option<i64>,
    /// Why.
    pub gone_why: Option<Gone>,
}

/// A capture as it is shown, of which so much came while it was on its way.
pub fn view(offered: Offered, received_bytes: u64) -> CaptureView {
    let Offered { robot, info, stored_us, gone, .. } = offered;
    let place = match (stored_us, gone) {
        (_, Some(_)) => CapturePlace::Gone,
        (Some(_), None) => CapturePlace::Stored,
        (None, None) => CapturePlace::Uploading,
    };
    CaptureView {
        target: robot.name.to_string(),
        place,
        received_bytes: if stored_us.is_some() { info.size_bytes } else { received_bytes },
        stored_us,
        gone_us: gone.map(|(at_us, _)| at_us),
        gone_why: gone.map(|(_, why)| why),
        id: info.id,
        reason: info.reason,
        policy: info.policy,
        triggered_us: info.triggered_us,
        start_us: info.start_us,
        end_us: info.end_us,
        messages: info.messages,
        missed: info.missed,
        topics: info.topics,
        size_bytes: info.size_bytes,
        sha256: info.sha256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OrganisationId, TargetName};

    fn offered(number: i64, size_bytes: u64, stored_day: Option<i64>) -> Offered {
        let robot = RobotId { organisation: OrganisationId::first(), name: TargetName::new("r1").unwrap() };
        let info = CaptureInfo { id: number.to_string(), size_bytes, sha256: "a".repeat(64), ..CaptureInfo::default() };
        Offered { number, robot, info, touched_us: 0, stored_us: stored_day.map(|day| day * DAY_US), gone: None }
    }

    #[test]
    fn the_old_and_the_unfinished_go_and_then_the_oldest_until_the_rest_fits() {
        let keeping = Keeping { keep_days: 10, max_bytes: 100, max_capture_bytes: 100 };
        let here =
            [offered(1, 50, Some(0)), offered(2, 60, Some(2)), offered(3, 50, Some(1)), offered(4, 50, None), offered(5, 45, Some(3))];
        assert_eq!(due(&here, &keeping, 5 * DAY_US), [(1, Gone::Space), (3, Gone::Space), (2, Gone::Space)]);
        assert_eq!(due(&here, &keeping, 10 * DAY_US), [(1, Gone::Age), (4, Gone::Unfinished), (3, Gone::Space), (2, Gone::Space)]);
        let gone = [Offered { gone: Some((0, Gone::Age)), ..offered(1, 500, Some(0)) }];
        assert_eq!(due(&gone, &keeping, 100 * DAY_US), []);
    }

    #[test]
    fn what_a_robot_offers_is_checked() {
        let keeping = Keeping { max_capture_bytes: 100, ..Keeping::default() };
        assert!(check(&offered(1, 100, None).info, &keeping).is_ok());
        type Change = fn(&mut CaptureInfo);
        let cases: [(&str, Change); 7] = [
            ("id", |info| info.id = "../x".into()),
            ("id", |info| info.id = String::new()),
            ("sha256", |info| info.sha256 = "A".repeat(64)),
            ("size_bytes", |info| info.size_bytes = 101),
            ("size_bytes", |info| info.size_bytes = 0),
            ("reason", |info| info.reason = "x".repeat(501)),
            ("topics", |info| info.topics = (0..201).map(|n| (n.to_string(), 1)).collect()),
        ];
        for (path, change) in cases {
            let mut info = offered(1, 100, None).info;
            change(&mut info);
            let error = check(&info, &keeping).unwrap_err().to_string();
            assert!(error.starts_with(&format!("bad capture: {path}: ")), "{error}");
        }
        assert!(Keeping { max_bytes: 1, ..Keeping::default() }.validate().is_err() && Keeping::default().validate().is_ok());
    }
}
