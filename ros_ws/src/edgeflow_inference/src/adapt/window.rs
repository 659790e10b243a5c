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
    /// Messages since the last tensor; `None` before the first.
    since: Option<u32>,
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
        }
        self.newest_ns = stamp_ns;
        self.since = self.since.map(|since| since + 1);
        if self.rows.len() >= *window as usize {
            self.rows.pop_front();
        }
        self.rows.push_back(row);
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
}
