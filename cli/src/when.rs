//! Times as people read them.

use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// RFC 3339, as wide for every time.
const MILLISECONDS: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

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
    use super::when;

    #[test]
    fn times_are_readable_and_absurd_ones_still_shown() {
        assert_eq!(when(1_700_000_000_123_456), "2023-11-14T22:13:20.123Z");
        assert_eq!(when(1_700_000_000_800_000), "2023-11-14T22:13:20.800Z");
        assert_eq!(when(i64::MAX), format!("{} us", i64::MAX));
    }
}
