//! Times as people read them.

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
    use super::{moment, when};

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
    fn times_are_readable_and_absurd_ones_still_shown() {
        assert_eq!(when(1_700_000_000_123_456), "2023-11-14T22:13:20.123Z");
        assert_eq!(when(1_700_000_000_800_000), "2023-11-14T22:13:20.800Z");
        assert_eq!(when(i64::MAX), format!("{} us", i64::MAX));
    }
}
