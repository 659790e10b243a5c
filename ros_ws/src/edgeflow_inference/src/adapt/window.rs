//! The newest messages of a stream, until there are as many as the model takes. Whether two messages are neighbours in
//! time only their stamps say; a window over a gap would show the model a jump that never happened.

use std::collections::VecDeque;

use edgeflow_bundle::{InputSpec, WindowSpec};

use super::{Adapted, Adapter, Sample};
use crate::Result;

/// The newest messages, in order.
#[derive(Debug, Default)]
pub struct Window {
    /// Whose rows these are.
    spec: Option<InputSpec>,
    rows: VecDeque<Vec<f64>>,
    newest_ns: i64,
    /// Rows since the last tensor; `None` before the first.
    since: Option<u32>,
    /// Where rows have a rate of their own: where they are.
    grid: Option<Grid>,
}

/// Rows at even distances in time.
#[derive(Debug)]
struct Grid {
    /// Of the first row.
    begin_ns: i64,
    /// Rows so far.
    count: u64,
    /// The newest message's numbers.
    newest: Vec<f64>,
}

impl Grid {
    /// Stamp of the next row, in nanoseconds since the first; each from the beginning, so that no error adds up.
    fn next_ns(&self, rate_hz: f64) -> f64 {
        self.count as f64 * 1e9 / rate_hz
    }

    /// Rows up to a message, on straight lines from the one before it; no more than the newest `most`.
    fn up_to(&mut self, row: Vec<f64>, before_ns: i64, stamp_ns: i64, rate_hz: f64, most: u32) -> Vec<Vec<f64>> {
        let since_begin = |stamp_ns: i64| stamp_ns.saturating_sub(self.begin_ns) as f64;
        let (from, to) = (since_begin(before_ns), since_begin(stamp_ns));
        let due = (to * rate_hz * 1e-9) as u64 + 1;
        self.count = self.count.max(due.saturating_sub(u64::from(most)));
        let mut rows = Vec::new();
        while self.next_ns(rate_hz) <= to {
            let part = (self.next_ns(rate_hz) - from) / (to - from);
            rows.push(self.newest.iter().zip(&row).map(|(a, b)| a + (b - a) * part).collect());
            self.count += 1;
        }
        self.newest = row;
        rows
    }
}

/// What a message made of the window.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The graph's input, when it is time for one; of its numbers the newest message's are watched, so that windows which
    /// overlap show each message once.
    pub adapted: Option<Adapted>,
    /// Messages before it were forgotten: there is a gap behind them, or stamps ran backwards.
    pub interrupted: bool,
}

impl Window {
    /// Takes in a message. With another `input` than that of the messages before, the window begins anew.
    ///
    /// # Errors
    /// As [`Adapter::row`]; the window is as it was.
    pub fn push(&mut self, adapter: &Adapter, stamp_ns: i64, sample: &Sample<'_>) -> Result<Gathered> {
        let row = adapter.row(sample)?;
        let Some(WindowSpec { window, stride, max_gap_s }) = adapter.spec().window() else { return Ok(Gathered::default()) };
        if self.spec.as_ref() != Some(adapter.spec()) {
            *self = Self { spec: Some(adapter.spec().clone()), ..Self::default() };
        }
        let step_s = (stamp_ns.saturating_sub(self.newest_ns)) as f64 * 1e-9;
        let interrupted = !self.rows.is_empty() && !(0.0..=*max_gap_s).contains(&step_s);
        if interrupted {
            self.rows.clear();
            self.since = None;
            self.grid = None;
        }
        let before_ns = std::mem::replace(&mut self.newest_ns, stamp_ns);
        let rows = match (adapter.spec().rate_hz(), &mut self.grid) {
            (None, _) => vec![row],
            (Some(rate_hz), Some(grid)) => grid.up_to(row, before_ns, stamp_ns, rate_hz, *window),
            (Some(_), grid) => {
                *grid = Some(Grid { begin_ns: stamp_ns, count: 1, newest: row.clone() });
                vec![row]
            }
        };
        if rows.is_empty() {
            return Ok(Gathered { adapted: None, interrupted });
        }
        for row in rows {
            self.since = self.since.map(|since| since.saturating_add(1));
            if self.rows.len() >= *window as usize {
                self.rows.pop_front();
            }
            self.rows.push_back(row);
        }
        if self.rows.len() < *window as usize || self.since.is_some_and(|since| since < *stride) {
            return Ok(Gathered { adapted: None, interrupted });
        }
        self.since = Some(0);
        let numbers: Vec<f64> = self.rows.iter().flatten().copied().collect();
        let tensor = adapter.table(&numbers, self.rows.len())?;
        Ok(Gathered { adapted: Some(Adapted { tensor, numbers: self.rows.back().cloned().unwrap_or_default() }), interrupted })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::adapter;
    use super::*;

    const MS: i64 = 1_000_000;

    /// What the window shows at each stamp: its numbers, where it shows any.
    fn shown(window: &mut Window, adapter: &Adapter, stamps_ms: impl IntoIterator<Item = i64>) -> Vec<(i64, Option<Vec<f64>>, bool)> {
        let mut shown = Vec::new();
        for ms in stamps_ms {
            let sample = Sample::Array { dimensions: &[], data_offset: 0, data: &[ms as f32] };
            let gathered = window.push(adapter, ms * MS, &sample).unwrap();
            if let Some(adapted) = &gathered.adapted {
                assert_eq!(adapted.numbers, [ms as f64], "the newest is watched");
            }
            shown.push((ms, gathered.adapted.map(|it| it.tensor.data.to_f64().unwrap()), gathered.interrupted));
        }
        shown
    }

    #[test]
    fn a_full_window_is_shown_and_then_every_stride() {
        let adapter = adapter("kind: array, elements: 1, window: 3, stride: 2, max_gap_s: 0.1", &[1, 3, 1]);
        let shown = shown(&mut Window::default(), &adapter, (1..=6).map(|i| i * 10));
        let tensors: Vec<_> = shown.into_iter().filter_map(|(at, tensor, _)| Some((at, tensor?))).collect();
        assert_eq!(tensors, [(30, vec![10.0, 20.0, 30.0]), (50, vec![30.0, 40.0, 50.0])]);
    }

    #[test]
    fn without_a_window_every_message_is_shown() {
        let adapter = adapter("kind: array, elements: 1", &[1, 1, 1]);
        assert!(shown(&mut Window::default(), &adapter, [1, 2, 5000]).iter().all(|(at, tensor, _)| *tensor == Some(vec![*at as f64])));
    }

    #[test]
    fn a_stride_beyond_the_window_leaves_messages_out() {
        let adapter = adapter("kind: array, elements: 1, window: 2, stride: 3", &[1, 2, 1]);
        let at: Vec<i64> = shown(&mut Window::default(), &adapter, 1..=9).into_iter().filter_map(|(at, t, _)| t.map(|_| at)).collect();
        assert_eq!(at, [2, 5, 8]);
    }

    #[test]
    fn gaps_and_stamps_that_run_backwards_begin_it_anew() {
        let adapter = adapter("kind: array, elements: 1, window: 2, max_gap_s: 0.1", &[1, 2, 1]);
        let mut window = Window::default();
        let seen = shown(&mut window, &adapter, [0, 100, 201, 250, 240, 240]);
        let expected = [
            (0, None, false),
            (100, Some(vec![0.0, 100.0]), false),
            (201, None, true),
            (250, Some(vec![201.0, 250.0]), false),
            (240, None, true),
            (240, Some(vec![240.0, 240.0]), false),
        ];
        assert_eq!(seen, expected);
        // What is refused leaves it as it was.
        let bad = Sample::Array { dimensions: &[], data_offset: 0, data: &[] };
        assert!(window.push(&adapter, 245 * MS, &bad).is_err());
        assert_eq!(shown(&mut window, &adapter, [250]), [(250, Some(vec![240.0, 250.0]), false)]);
    }

    #[test]
    fn a_model_with_another_input_begins_it_anew_and_one_with_the_same_goes_on() {
        let two = "kind: array, elements: 1, window: 2";
        let mut window = Window::default();
        assert!(shown(&mut window, &adapter(two, &[1, 2, 1]), [1])[0].1.is_none());
        assert_eq!(shown(&mut window, &adapter(two, &[1, 2, 1]), [2])[0].1, Some(vec![1.0, 2.0]));
        let other = format!("{two}, mean: [1]");
        assert_eq!(shown(&mut window, &adapter(&other, &[1, 2, 1]), [3])[0], (3, None, false));
    }

    /// What an imu's window shows of the acceleration along x that is `acceleration` of the stamp.
    fn resampled(input: &str, rows: i64, stamps_ms: &[i64], acceleration: impl Fn(i64) -> f64) -> Vec<Option<Vec<f64>>> {
        let adapter = adapter(&format!("kind: imu, fields: [linear_acceleration.x], {input}"), &[1, rows, 1]);
        let mut window = Window::default();
        let mut push = |ms: &i64| {
            let sample =
                Sample::Imu { orientation: None, angular_velocity: None, linear_acceleration: Some([acceleration(*ms), 0.0, 0.0]) };
            window.push(&adapter, ms * MS, &sample).unwrap().adapted.map(|adapted| adapted.tensor.data.to_f64().unwrap())
        };
        stamps_ms.iter().map(&mut push).collect()
    }

    #[test]
    fn rows_at_a_rate_are_the_same_whatever_the_sensors_rate_is() {
        let input = "rate_hz: 100, window: 4, stride: 2, max_gap_s: 0.1";
        let ramp = |ms: i64| ms as f64 * 2.0;
        let newest = |stamps: &[i64]| resampled(input, 4, stamps, ramp).into_iter().flatten().collect::<Vec<_>>();
        let expected: Vec<Vec<f64>> = vec![vec![0.0, 20.0, 40.0, 60.0], vec![40.0, 60.0, 80.0, 100.0], vec![80.0, 100.0, 120.0, 140.0]];
        // 100 Hz as it is, 400 Hz, and uneven steps; the last messages lie beyond the last row.
        assert_eq!(newest(&(0..=7).map(|i| i * 10).collect::<Vec<_>>()), expected);
        assert_eq!(newest(&(0..=29).map(|i| i * 5 / 2).collect::<Vec<_>>()), expected);
        assert_eq!(newest(&[0, 3, 12, 19, 30, 31, 48, 52, 69, 79]), expected);
        // A slow sensor gives several rows with a message, of which the newest are shown.
        assert_eq!(newest(&[0, 25, 50, 75]), [expected[1].clone(), expected[2].clone()]);
        // 30 Hz is no whole number of nanoseconds, and nothing adds up.
        let long: Vec<i64> = (0..=100_000).map(|i| i * 10).collect();
        let last = resampled("rate_hz: 30, window: 1, max_gap_s: 1", 1, &long, ramp).into_iter().flatten();
        assert_eq!(last.clone().count(), 30_001);
        assert!(last.enumerate().all(|(i, row)| (row[0] - i as f64 * 2000.0 / 30.0).abs() < 1e-5 * (i as f64 + 1.0)));
    }

    #[test]
    fn a_gap_begins_rows_at_a_rate_anew_and_a_long_one_that_is_allowed_fills_one_window() {
        let input = "rate_hz: 100, window: 2, max_gap_s: 0.1";
        let seen = resampled(input, 2, &[0, 10, 300, 305, 310, 310, 309], |ms| ms as f64);
        let expected = [None, Some(vec![0.0, 10.0]), None, None, Some(vec![300.0, 310.0]), None, None];
        assert_eq!(seen, expected);
        let far = "rate_hz: 100000, window: 3, max_gap_s: 1.0e+9";
        let seen = resampled(far, 3, &[0, 1_000_000_000], |ms| ms as f64);
        let rows = seen[1].clone().unwrap();
        assert!(rows.len() == 3 && (rows[2] - 1e9).abs() < 1e3 && rows.is_sorted(), "{rows:?}");
    }
}
