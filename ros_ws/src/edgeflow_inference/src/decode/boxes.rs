//! The ways in which graphs write boxes down, each to candidates in pixels of the graph's input.
//!
//! Layouts: `yolov5` and `yolov8` as Ultralytics exports them (centre and size, the latter with boxes along the last
//! axis), `yolov10` as its end-to-end head (corners, score, class), SSD as the ONNX model zoo, torchvision and TensorFlow
//! have it (corners), DETR as Hugging Face exports it (logits with a last class of no object, normalised centre and size).

use edgeflow_bundle::Activation;

use super::{Candidate, activation};

/// Centre and size to corners.
pub(super) fn corners([x, y, w, h]: [f32; 4]) -> [f32; 4] {
    [x - w / 2.0, y - h / 2.0, x + w / 2.0, y + h / 2.0]
}

/// The best class of one box and its score; `None` when no score is a number.
fn best(scores: &[f32]) -> Option<(usize, f32)> {
    scores.iter().copied().enumerate().filter(|(_, s)| !s.is_nan()).reduce(|a, b| if b.1 > a.1 { b } else { a })
}

/// `[n, 5 + c]`: centre, size, objectness, class scores.
pub(super) fn yolov5(values: &[f32], row: usize, activation: Activation, threshold: f32) -> Vec<Candidate> {
    let mut scores = Vec::with_capacity(row);
    let candidates = values.chunks_exact(row).filter_map(|r| {
        scores.clear();
        scores.extend_from_slice(&r[4..]);
        activation::apply(activation, &mut scores);
        let objectness = scores[0];
        // No class score is more than 1, so that most boxes are told here.
        if objectness < threshold {
            return None;
        }
        let (class, score) = best(&scores[1..])?;
        let score = score * objectness;
        (score >= threshold).then(|| Candidate { class, score, corners: corners([r[0], r[1], r[2], r[3]]) })
    });
    candidates.collect()
}

/// `[4 + c, n]`: rows of centre x, centre y, width, height and class scores.
pub(super) fn yolov8(values: &[f32], boxes: usize, activation: Activation, threshold: f32) -> Vec<Candidate> {
    let mut rows = values.chunks_exact(boxes);
    let mut place = || rows.next().unwrap_or_default();
    let [x, y, w, h] = [place(), place(), place(), place()];
    // Class by class, along memory.
    let mut top = vec![(f32::NEG_INFINITY, 0); boxes];
    for (class, row) in rows.enumerate() {
        for (top, value) in top.iter_mut().zip(row) {
            if *value > top.0 {
                *top = (*value, class);
            }
        }
    }
    let candidates = top.into_iter().enumerate().filter_map(|(i, (value, class))| {
        // Each class on its own: the order of numbers is that of scores.
        let mut score = [value];
        activation::apply(activation, &mut score);
        let [score] = score;
        (score >= threshold).then(|| Candidate { class, score, corners: corners([x[i], y[i], w[i], h[i]]) })
    });
    candidates.collect()
}

/// `[n, 6]`: corners, score, class.
pub(super) fn yolov10(values: &[f32], activation: Activation, threshold: f32) -> Vec<Candidate> {
    let candidates = values.as_chunks::<6>().0.iter().filter_map(|[l, t, r, b, value, class]| {
        let mut score = [*value];
        activation::apply(activation, &mut score);
        candidate(*class, score[0], [*l, *t, *r, *b], threshold)
    });
    candidates.collect()
}

/// A candidate whose class is a number of the graph.
pub(super) fn candidate(class: f32, score: f32, corners: [f32; 4], threshold: f32) -> Option<Candidate> {
    // Rows that stand for nothing have a class below 0, or a score of 0.
    (score >= threshold && class > -0.5).then(|| Candidate { class: class.round() as usize, score, corners })
}

/// Boxes `[n]` and scores `[n, c]`. `skip` is a class that is no object.
pub(super) fn one_row_each(
    boxes: &[[f32; 4]],
    scores: &[f32],
    classes: usize,
    activation: Activation,
    skip: Option<usize>,
    threshold: f32,
) -> Vec<Candidate> {
    let mut row = Vec::with_capacity(classes);
    let candidates = boxes.iter().zip(scores.chunks_exact(classes)).filter_map(|(corners, scores)| {
        row.clear();
        row.extend_from_slice(scores);
        activation::apply(activation, &mut row);
        if let Some(skipped) = skip.and_then(|class| row.get_mut(class)) {
            *skipped = f32::NAN;
        }
        let (class, score) = best(&row)?;
        (score >= threshold).then_some(Candidate { class, score, corners: *corners })
    });
    candidates.collect()
}
