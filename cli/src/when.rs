//! Times as people read them.

use std::time::SystemTime;
use time::{
    Date, OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, format_description::well_known::Rfc3339,
    macros::format_description,
};

/// RFC 3339, as wide for every time.
const MILLISECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

const SECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
const MINUTES: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]");
const DAY: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// A time as people write it, UTC where it does not say, in microseconds since the Unix epoch.
pub(crate) fn moment(text: &str) -> Result<i64, String> {
    let written = text.trim().replacen(' ', "T", 1);
    let read = OffsetDateTime::parse(&written, &Rfc3339)
        .or_else(|_| PrimitiveDateTime::parse(&written, SECONDS).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| PrimitiveDateTime::parse(&written, MINUTES).map(PrimitiveDateTime::assume_utc))
        .or_else(|_| Date::parse(&written, DAY).map(|day| day.midnight().assume_utc()));
    let time = read.map_err(|_| "give a time such as 2026-03-03T14:03:00Z, 2026-03-03T14:03 or 2026-03-03".to_owned())?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000).map_err(|error| error.to_string())
}

/// How long ago, as people write it (`90s`, `5m`, `2h`, `7d`), or a time.
pub(crate) fn past(text: &str) -> Result<i64, String> {
    let unit = text.char_indices().next_back().filter(|(_, unit)| "smhd".contains(*unit));
    if let Some((at, unit)) = unit
        && let Some(number) = text.get(..at).and_then(|number| number.parse::<f64>().ok()).filter(|number| (0.0..1e9).contains(number))
    {
        let seconds = match unit {
            's' => 1.0,
            'm' => 60.0,
            'h' => 3_600.0,
            _ => 86_400.0,
        };
        return Ok(now_us() - (number * seconds * 1e6) as i64);
    }
    moment(text).map_err(|reason| format!("{reason}, or how long ago: 90s, 5m, 2h, 7d"))
}

/// Microseconds since the Unix epoch, by this machine's clock.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Microseconds since the Unix epoch as people write a time, to the millisecond.
pub(crate) fn when(t_us: i64) -> String {
    let rounded_ns = i128::from(t_us.div_euclid(1000)) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(rounded_ns)
        .ok()
        .and_then(|time| time.format(MILLISECONDS).ok())
        .unwrap_or_else(|| format!("{t_us} us"))
}

#[cfg(test)]
mod tests {
    use super::{moment, now_us, past, when};

    #[test]
    fn times_are_read_with_and_without_zone_seconds_and_hour() {
        let t_us = 1_772_546_580_000_000;
        for text in ["2026-03-03T14:03:00Z", "2026-03-03T15:03:00+01:00", "2026-03-03T14:03:00", "2026-03-03 14:03", "2026-03-03T14:03"] {
            assert_eq!(moment(text), Ok(t_us), "{text}");
        }
        assert_eq!(moment("2026-03-03"), Ok(t_us - (14 * 60 + 3) * 60_000_000));
        assert_eq!(moment("2026-03-03T14:03:00.5Z"), Ok(t_us + 500_000));
        for text in ["", "yesterday", "2026-13-01", "14:03"] {
            assert!(moment(text).unwrap_err().contains("2026-03-03"), "{text}");
        }
    }

    #[test]
    fn how_long_ago_is_a_time_too() {
        for (text, seconds) in [("90s", 90), ("1.5m", 90), ("2h", 7_200), ("7d", 604_800)] {
            let then_us = past(text).unwrap();
            let ago_us = now_us() - then_us;
            assert!((0..10_000_000).contains(&(ago_us - seconds * 1_000_000)), "{text}: {ago_us}");
        }
        assert_eq!(past("2026-03-03"), moment("2026-03-03"));
        for text in ["5w", "-5m", "m", "1e300d", "soon"] {
            assert!(past(text).unwrap_err().contains("2h"), "{text}");
        }
    }

    #[test]
    fn times_are_readable_and_absurd_ones_still_shown() {
        assert_eq!(when(1_700_000_000_123_456), "2023-11-14T22:13:20.123Z");
        assert_eq!(when(1_700_000_000_800_000), "2023-11-14T22:13:20.800Z");
        assert_eq!(when(i64::MAX), format!("{} us", i64::MAX));
    }
}
