//! Hours in which robots may be changed, by the clock on the wall of their site.
//!
//! What that clock shows decides, and nothing else: a time of day that a change to summer time leaves out is never shown, so a window
//! that begins in it begins when the clock has jumped; one that the change back shows twice is allowed twice. A robot is bound by the
//! windows that name its site (the label `site`) and by those that name none; one that no window is for may be changed at any time.
//! The time zone database is the one built in, so that every machine decides the same.

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, Time, Weekday},
    tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase},
};

use super::Window;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// How far ahead an opening is looked for: every day of the week, and the one more that a clock change may take.
const AHEAD_DAYS: i32 = 9;

/// A window that was read.
struct Hours {
    zone: TimeZone,
    days: Vec<Weekday>,
    from: Time,
    to: Time,
}

/// What is wrong with a window: which key, and what to do.
pub(super) fn check(window: &Window) -> Result<(), (&'static str, String)> {
    read(window).map(drop)
}

fn read(window: &Window) -> Result<Hours, (&'static str, String)> {
    let Window { sites: _, time_zone, days, from, to } = window;
    let zone = TimeZoneDatabase::bundled().get(time_zone);
    let zone = zone.map_err(|_| ("time_zone", format!("{time_zone:?} is no time zone: write an IANA name such as Europe/Berlin")))?;
    let weekday = |name: &String| {
        let found = DAYS.iter().find(|(known, _)| known == name);
        found.map(|(_, day)| *day).ok_or_else(|| ("days", format!("{name:?} is no day: use mon, tue, wed, thu, fri, sat, sun")))
    };
    let days = days.iter().map(weekday).collect::<Result<_, _>>()?;
    Ok(Hours { zone, days, from: time("from", from)?, to: time("to", to)? })
}

fn time(key: &'static str, text: &str) -> Result<Time, (&'static str, String)> {
    let digits =
        |text: &str| (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse::<i8>().ok()).flatten();
    let parts = text.split_once(':').and_then(|(hour, minute)| Some((digits(hour)?, digits(minute)?)));
    let time = parts.and_then(|(hour, minute)| Time::new(hour, minute, 0, 0).ok());
    time.ok_or_else(|| (key, format!("{text:?} is no time of day: write HH:MM, 00:00 to 23:59")))
}

impl Hours {
    fn begins_on(&self, date: Date) -> bool {
        self.days.is_empty() || self.days.contains(&date.weekday())
    }

    /// Whether the clock of the site shows a time within.
    fn open_at(&self, now: Timestamp) -> bool {
        let shown = now.to_zoned(self.zone.clone());
        let (date, time) = (shown.date(), shown.time());
        let over_midnight = self.to <= self.from;
        let today = self.begins_on(date) && time >= self.from && (over_midnight || time < self.to);
        let since_yesterday = over_midnight && time < self.to && date.yesterday().is_ok_and(|date| self.begins_on(date));
        today || since_yesterday
    }

    /// The next moment at which it opens, when it is closed `now`. A clock opens it when it comes to `from`, when it jumps over
    /// `from`, and when it is put back behind `to`.
    fn opens_after(&self, now: Timestamp) -> Option<Timestamp> {
        let today = now.to_zoned(self.zone.clone()).date();
        let dates = (-1..AHEAD_DAYS).filter_map(|days| today.checked_add(days.days()).ok());
        let mut moments: Vec<Timestamp> = dates.flat_map(|date| self.shown(date.to_datetime(self.from))).collect();
        let end = now.checked_add((i64::from(AHEAD_DAYS) * 24).hours()).ok()?;
        moments.extend(self.zone.following(now).map(|change| change.timestamp()).take_while(|at| *at <= end));
        moments.into_iter().filter(|at| *at > now && self.open_at(*at)).min()
    }

    /// When the clock shows `time`: once; twice; or never.
    fn shown(&self, time: DateTime) -> Vec<Timestamp> {
        let offsets = match self.zone.to_ambiguous_timestamp(time).offset() {
            AmbiguousOffset::Unambiguous { offset } => vec![offset],
            AmbiguousOffset::Gap { .. } => Vec::new(),
            AmbiguousOffset::Fold { before, after } => vec![before, after],
        };
        offsets.into_iter().filter_map(|offset| offset.to_timestamp(time).ok()).collect()
    }
}

/// When a robot of `site` may be changed: `None` when it may now, otherwise the next moment, microseconds since the Unix epoch, and
/// that moment for people.
pub fn closed(windows: &[Window], site: Option<&str>, now_us: i64) -> Option<(i64, String)> {
    let now = Timestamp::from_microsecond(now_us).ok()?;
    let for_it = windows.iter().filter(|window| window.sites.is_empty() || site.is_some_and(|site| window.sites.contains(site)));
    // One that does not read was refused when the rollout was made.
    let hours: Vec<Hours> = for_it.filter_map(|window| read(window).ok()).collect();
    if hours.is_empty() || hours.iter().any(|hours| hours.open_at(now)) {
        return None;
    }
    let next = hours.iter().filter_map(|hours| Some((hours.opens_after(now)?, hours))).min_by_key(|(at, _)| *at);
    // A zone whose clock never comes to it again: look again in an hour.
    let Some((at, hours)) = next else { return Some((now_us.saturating_add(3_600_000_000), "in an hour".to_owned())) };
    Some((at.as_microsecond(), at.to_zoned(hours.zone.clone()).strftime("%a %H:%M %Z").to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(time_zone: &str, days: &[&str], from: &str, to: &str) -> Window {
        let days = days.iter().map(|day| (*day).to_owned()).collect();
        Window { sites: Default::default(), time_zone: time_zone.into(), days, from: from.into(), to: to.into() }
    }

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_microsecond()
    }

    /// Opens at, or nothing when it is open.
    fn opens(window: &Window, now: &str) -> Option<String> {
        closed(std::slice::from_ref(window), None, at(now)).map(|(at, _)| Timestamp::from_microsecond(at).unwrap().to_string())
    }

    #[test]
    fn hours_are_those_of_the_site() {
        let night = window("America/New_York", &[], "01:00", "05:00");
        assert_eq!(opens(&night, "2026-01-15T06:00:00Z"), None, "one in the morning there");
        assert_eq!(opens(&night, "2026-01-15T05:59:59.999999Z").as_deref(), Some("2026-01-15T06:00:00Z"));
        assert_eq!(opens(&night, "2026-01-15T10:00:00Z").as_deref(), Some("2026-01-16T06:00:00Z"), "its end is not in it");
        assert_eq!(opens(&night, "2026-07-15T10:00:00Z").as_deref(), Some("2026-07-16T05:00:00Z"), "in summer");
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_it_begins() {
        let friday = window("Europe/Berlin", &["fri"], "22:00", "04:00");
        assert_eq!(opens(&friday, "2026-01-16T21:00:00Z"), None, "Friday 22:00");
        assert_eq!(opens(&friday, "2026-01-17T02:59:00Z"), None, "Saturday 03:59");
        assert_eq!(opens(&friday, "2026-01-17T03:00:00Z").as_deref(), Some("2026-01-23T21:00:00Z"), "Saturday 04:00");
        assert_eq!(opens(&friday, "2026-01-17T21:00:00Z").as_deref(), Some("2026-01-23T21:00:00Z"), "Saturday 22:00");
        let whole = window("Europe/Berlin", &["sat"], "00:00", "00:00");
        assert_eq!(opens(&whole, "2026-01-16T23:00:00Z"), None);
        assert_eq!(opens(&whole, "2026-01-17T22:59:59Z"), None);
        assert!(opens(&whole, "2026-01-17T23:00:00Z").is_some());
    }

    #[test]
    fn a_clock_that_jumps_over_the_beginning_opens_when_it_has() {
        // Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
        let gap = window("Europe/Berlin", &[], "02:30", "04:00");
        assert_eq!(opens(&gap, "2026-03-29T00:59:00Z").as_deref(), Some("2026-03-29T01:00:00Z"));
        assert_eq!(opens(&gap, "2026-03-29T01:00:00Z"), None);
        let inside = window("Europe/Berlin", &[], "02:10", "02:50");
        assert_eq!(opens(&inside, "2026-03-29T00:59:00Z").as_deref(), Some("2026-03-30T00:10:00Z"), "never shown that day");
        let end = window("Europe/Berlin", &[], "01:00", "02:30");
        assert_eq!(opens(&end, "2026-03-29T00:59:59Z"), None);
        assert_eq!(opens(&end, "2026-03-29T01:00:00Z").as_deref(), Some("2026-03-29T23:00:00Z"), "its end was jumped over");
    }

    #[test]
    fn an_hour_shown_twice_is_allowed_twice() {
        // Berlin, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC.
        let fold = window("Europe/Berlin", &[], "01:00", "02:30");
        assert_eq!(opens(&fold, "2026-10-25T00:29:00Z"), None, "02:29, for the first time");
        assert_eq!(opens(&fold, "2026-10-25T00:30:00Z").as_deref(), Some("2026-10-25T01:00:00Z"), "put back behind its end");
        assert_eq!(opens(&fold, "2026-10-25T01:29:00Z"), None, "02:29, again");
        assert_eq!(opens(&fold, "2026-10-25T01:30:00Z").as_deref(), Some("2026-10-26T00:00:00Z"));
        let begins = window("Europe/Berlin", &[], "02:30", "02:45");
        assert_eq!(opens(&begins, "2026-10-25T00:50:00Z").as_deref(), Some("2026-10-25T01:30:00Z"), "the second 02:30");
    }

    #[test]
    fn sites_have_windows_of_their_own() {
        let mut berlin = window("Europe/Berlin", &[], "01:00", "02:00");
        berlin.sites.insert("berlin".into());
        let noon = at("2026-01-15T12:00:00Z");
        let windows = [berlin];
        assert!(closed(&windows, Some("berlin"), noon).is_some());
        assert_eq!(closed(&windows, Some("paris"), noon), None, "no window is for it");
        assert_eq!(closed(&windows, None, noon), None);
        let both = [windows[0].clone(), window("UTC", &[], "11:00", "13:00")];
        assert_eq!(closed(&both, Some("berlin"), noon), None, "any window that is open opens");
        let (_, shown) = closed(&windows, Some("berlin"), noon).unwrap();
        assert_eq!(shown, "Fri 01:00 CET");
    }

    #[test]
    fn what_does_not_read_is_said() {
        for (window, key) in [
            (window("Mars/Base", &[], "01:00", "02:00"), "time_zone"),
            (window("UTC", &["Monday"], "01:00", "02:00"), "days"),
            (window("UTC", &[], "1:00", "02:00"), "from"),
            (window("UTC", &[], "01:00", "24:00"), "to"),
            (window("UTC", &[], "+1:00", "02:00"), "from"),
        ] {
            assert_eq!(check(&window).unwrap_err().0, key);
        }
        assert_eq!(check(&window("UTC", &["mon", "sun"], "00:00", "23:59")), Ok(()));
    }
}
