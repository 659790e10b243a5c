//! How wrong a robot's clock is, by when its words were stamped and when they came.

/// Words that came within so long before the newest are looked at, microseconds: whoever set the clock before that set it right since.
const LATELY_US: i64 = 60_000_000;
/// A clock that is off by less is taken as right, microseconds: a link that is slow looks the same.
const RIGHT_US: i64 = 60_000_000;

/// What is to be added to a robot's stamps so that they are by our clock, microseconds; 0 of a clock that is right as far as can be
/// told. `words` are its newest: when it stamped them and when they came.
///
/// A word comes after it was stamped, and never before: of several the least difference is the nearest to the truth. Words that waited
/// for a link on the robot look as if its clock were slow, until one comes that did not wait.
pub fn behind_us(words: &[(i64, i64)]) -> i64 {
    let Some(last_us) = words.iter().map(|(_, came_us)| *came_us).max() else { return 0 };
    let lately = words.iter().filter(|(_, came_us)| *came_us >= last_us.saturating_sub(LATELY_US));
    let behind_us = lately.map(|(stamped_us, came_us)| came_us.saturating_sub(*stamped_us)).min().unwrap_or_default();
    if behind_us.saturating_abs() < RIGHT_US { 0 } else { behind_us }
}

#[cfg(test)]
mod tests {
    use super::behind_us;

    const HOUR_US: i64 = 3_600_000_000;
    const NOW_US: i64 = 1_800_000_000_000_000;

    #[test]
    fn a_clock_is_wrong_by_the_least_that_its_words_lately_differ() {
        let slow = |by_us: i64| [(NOW_US - by_us - 9_000_000, NOW_US), (NOW_US - by_us - 2_000_000, NOW_US - 1_000_000)];
        assert_eq!(behind_us(&slow(3 * HOUR_US)), 3 * HOUR_US + 1_000_000);
        assert_eq!(behind_us(&slow(-3 * HOUR_US)), -3 * HOUR_US + 1_000_000);
        assert_eq!(behind_us(&slow(0)), 0, "a link that is a little slow");
        assert_eq!(behind_us(&[]), 0);
        let set_right = [(NOW_US + 3 * HOUR_US - 600_000_000, NOW_US - 600_000_000), (NOW_US, NOW_US)];
        assert_eq!(behind_us(&set_right), 0, "what it said before its clock was set says nothing of now");
        assert_eq!(behind_us(&[(i64::MIN, i64::MAX)]), i64::MAX);
    }
}
