//! Non-maximum suppression: of boxes of one class that overlap too much, the one with the best score stays.

/// A box that may be an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Class index.
    pub class: usize,
    /// Its score.
    pub score: f32,
    /// Left, top, right, bottom.
    pub corners: [f32; 4],
}

impl Candidate {
    fn area(&self) -> f32 {
        let [left, top, right, bottom] = self.corners;
        (right - left).max(0.0) * (bottom - top).max(0.0)
    }

    /// Intersection over union; 0 for two empty boxes.
    fn overlap(&self, other: &Self) -> f32 {
        let ([l, t, r, b], [ol, ot, or, ob]) = (self.corners, other.corners);
        let common = (r.min(or) - l.max(ol)).max(0.0) * (b.min(ob) - t.max(ot)).max(0.0);
        let union = self.area() + other.area() - common;
        if union > 0.0 { common / union } else { 0.0 }
    }
}

/// Keeps the best `most` candidates, best first, of which no two of one class overlap by more than `iou_threshold`. Of equal
/// scores the earlier one is the better. Greedy, as everywhere: what is suppressed suppresses nothing.
pub fn suppress(mut candidates: Vec<Candidate>, iou_threshold: f32, most: usize) -> Vec<Candidate> {
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    if iou_threshold >= 1.0 {
        candidates.truncate(most);
        return candidates;
    }
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if kept.len() >= most {
            break;
        }
        let covered = kept.iter().any(|better| better.class == candidate.class && better.overlap(&candidate) > iou_threshold);
        if !covered {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, class by class, on sets: take the best that is left, strike out what it covers.
    fn by_definition(candidates: &[Candidate], iou_threshold: f32) -> Vec<usize> {
        let rectangle = |c: &Candidate| c.corners.map(|v| v as i32);
        let iou = |a: &Candidate, b: &Candidate| {
            // Pixel by pixel: corners are whole numbers here.
            let ([al, at, ar, ab], [bl, bt, br, bb]) = (rectangle(a), rectangle(b));
            let (mut both, mut either) = (0, 0);
            for y in at.min(bt)..ab.max(bb) {
                for x in al.min(bl)..ar.max(br) {
                    let (in_a, in_b) = (x >= al && x < ar && y >= at && y < ab, x >= bl && x < br && y >= bt && y < bb);
                    both += i32::from(in_a && in_b);
                    either += i32::from(in_a || in_b);
                }
            }
            if either == 0 { 0.0 } else { both as f32 / either as f32 }
        };
        let mut kept = Vec::new();
        let classes: std::collections::BTreeSet<usize> = candidates.iter().map(|c| c.class).collect();
        for class in classes {
            let mut left: Vec<usize> = (0..candidates.len()).filter(|i| candidates[*i].class == class).collect();
            while let Some(best) = left.iter().copied().reduce(|a, b| if candidates[b].score > candidates[a].score { b } else { a }) {
                kept.push(best);
                left.retain(|i| *i != best && iou(&candidates[best], &candidates[*i]) <= iou_threshold);
            }
        }
        kept.sort_by(|a, b| candidates[*b].score.total_cmp(&candidates[*a].score).then(a.cmp(b)));
        kept
    }

    prop_compose! {
        fn candidate()(class in 0..3usize, score in 0..20u8, left in 0..12i16, top in 0..12i16, width in 0..8i16, height in 0..8i16) -> Candidate {
            let corners = [left, top, left + width, top + height].map(f32::from);
            Candidate { class, score: f32::from(score) / 20.0, corners }
        }
    }

    proptest! {
        #[test]
        fn it_keeps_what_the_definition_keeps(candidates in prop::collection::vec(candidate(), 0..40), iou_percent in 0..100u8, most in 0..50usize) {
            let iou_threshold = f32::from(iou_percent) / 100.0;
            let mut expected: Vec<Candidate> = by_definition(&candidates, iou_threshold).into_iter().map(|i| candidates[i]).collect();
            expected.truncate(most);
            prop_assert_eq!(suppress(candidates, iou_threshold, most), expected);
        }
    }

    #[test]
    fn with_a_threshold_of_one_nothing_is_suppressed() {
        let twice = Candidate { class: 0, score: 0.5, corners: [0.0, 0.0, 4.0, 4.0] };
        assert_eq!(suppress(vec![twice, twice], 1.0, 10).len(), 2);
        assert_eq!(suppress(vec![twice, twice], 0.99, 10).len(), 1);
        let other = Candidate { class: 1, ..twice };
        assert_eq!(suppress(vec![twice, other], 0.1, 10).len(), 2, "classes do not suppress each other");
    }
}
