//! From a graph's numbers to scores between 0 and 1.

use edgeflow_bundle::Activation;

/// Turns the numbers of one set of classes into scores, in place.
pub(super) fn apply(activation: Activation, values: &mut [f32]) {
    match activation {
        Activation::None => {}
        Activation::Sigmoid => values.iter_mut().for_each(|v| *v = sigmoid(*v)),
        Activation::Softmax => {
            // The greatest becomes exp(0): no number is too large.
            let greatest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            values.iter_mut().for_each(|v| *v = (*v - greatest).exp());
            let sum: f32 = values.iter().sum();
            values.iter_mut().for_each(|v| *v /= sum);
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_what_the_definitions_say() {
        let of = |activation, values: &[f32]| {
            let mut values = values.to_vec();
            apply(activation, &mut values);
            values
        };
        assert_eq!(of(Activation::None, &[2.0, -1.0]), [2.0, -1.0]);
        assert_eq!(of(Activation::Sigmoid, &[0.0, 1000.0, -1000.0]), [0.5, 1.0, 0.0]);
        assert_eq!(of(Activation::Softmax, &[7.0, 7.0, f32::NEG_INFINITY]), [0.5, 0.5, 0.0]);
    }
}
