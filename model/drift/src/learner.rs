//! Learns the baselines that did not come with the model, from a stream's first frames.

use crate::watched::Watched;
use crate::{BaselineBuilder, BaselineSource, Error, Feature, Result};

/// The features of a stream that have no baseline yet.
#[derive(Debug, Clone)]
pub(crate) struct Learner {
    /// Places of these features among a frame's values.
    pub(crate) columns: Vec<usize>,
    builder: BaselineBuilder,
    /// Frames to learn from.
    pub(crate) frames: u64,
    /// Learnt, to be watched from the next window on.
    pub(crate) ready: Vec<Watched>,
}

impl Learner {
    /// Learns those of `features` that are not among the known ones.
    pub(crate) fn new(features: &[Feature], known: &[Watched], frames: u64) -> Self {
        let columns: Vec<usize> = (0..features.len()).filter(|column| known.iter().all(|watched| watched.column != *column)).collect();
        let new = columns.iter().map(|&column| features[column].clone()).collect();
        Learner { columns, builder: BaselineBuilder::of(new).source(BaselineSource::Learnt), frames, ready: Vec::new() }
    }

    /// Takes in a frame's values. After every so many frames the features that enough of them had are ready; the others,
    /// of which few values have come, wait for as many frames again.
    pub(crate) fn push(&mut self, values: &[f64]) -> Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let values: Vec<f64> = self.columns.iter().map(|&column| values[column]).collect();
        self.builder.push(&values)?;
        if !self.builder.frames().is_multiple_of(self.frames) {
            return Ok(());
        }
        let mut left = Vec::new();
        for (place, &column) in self.columns.iter().enumerate() {
            match self.builder.feature(place) {
                Ok(learnt) => self.ready.push(Watched::new(column, BaselineSource::Learnt, &learnt)),
                Err(Error::TooFew { .. }) => left.push(place),
                Err(other) => return Err(other),
            }
        }
        self.columns = left.iter().map(|&place| self.columns[place]).collect();
        self.builder.keep(&left);
        Ok(())
    }
}
