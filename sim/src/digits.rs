//! The handwritten digits the simulated cameras look at, split once for training and testing.
//!
//! Where they come from and how the file is made: `sim/data/README.md`.

use std::path::{Path, PathBuf};

/// Edge length of a digit in pixels.
pub const DIGIT_SIZE: usize = 8;
/// Greatest intensity of a digit's pixel.
pub const MAX_INTENSITY: u8 = 16;

const EMBEDDED: &str = include_str!("../data/digits.csv");
const HEADER: &str = "index,label,split,pixels";

/// What an image may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// Models and baselines are made from these.
    Train,
    /// Kept apart: what robots meet and accuracy is measured on.
    Test,
}

/// One handwritten digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digit {
    /// Number in the original set.
    pub index: u32,
    /// The digit it shows, 0 to 9.
    pub label: u8,
    /// What it may be used for.
    pub split: Split,
    /// Intensities 0 to 16, row by row.
    pub pixels: [u8; DIGIT_SIZE * DIGIT_SIZE],
}

/// Why a file of digits could not be used.
#[derive(Debug, thiserror::Error)]
pub enum DigitsError {
    /// It could not be read.
    #[error("cannot read the digits {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("digits, line {line}: {message}; sim/data/make_digits.py writes the file")]
    Line {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        message: &'static str,
    },
}

/// A set of digits.
#[derive(Debug, Clone)]
pub struct Digits {
    all: Vec<Digit>,
}

impl Digits {
    /// The set this program was built with.
    ///
    /// # Errors
    /// [`DigitsError::Line`] when it was built with a damaged one.
    pub fn embedded() -> Result<Self, DigitsError> {
        Digits::parse(EMBEDDED)
    }

    /// The set in a file like `sim/data/digits.csv`.
    ///
    /// # Errors
    /// [`DigitsError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DigitsError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| DigitsError::Read { path: path.to_owned(), source })?;
        Digits::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, DigitsError> {
        let mut lines = text.lines().enumerate();
        if lines.next().map(|(_, line)| line) != Some(HEADER) {
            return Err(DigitsError::Line { line: 1, message: "the header is not index,label,split,pixels" });
        }
        let all: Vec<Digit> =
            lines.map(|(i, line)| digit(line).map_err(|message| DigitsError::Line { line: i + 1, message })).collect::<Result<_, _>>()?;
        for split in [Split::Train, Split::Test] {
            if !all.iter().any(|digit| digit.split == split) {
                return Err(DigitsError::Line {
                    line: all.len() + 1,
                    message: "the file ends without an image for each of train and test",
                });
            }
        }
        Ok(Digits { all })
    }

    /// All of one split, in the file's order; at least one.
    pub fn of(&self, split: Split) -> Vec<&Digit> {
        self.all.iter().filter(|digit| digit.split == split).collect()
    }
}

fn digit(line: &str) -> Result<Digit, &'static str> {
    let mut fields = line.split(',');
    let mut field = || fields.next().ok_or("a field is missing");
    let index = field()?.parse().map_err(|_| "index is no number")?;
    let label = field()?.parse().ok().filter(|label| *label < 10).ok_or("label is not 0 to 9")?;
    let split = match field()? {
        "train" => Split::Train,
        "test" => Split::Test,
        _ => return Err("split is neither train nor test"),
    };
    let characters: [u8; DIGIT_SIZE * DIGIT_SIZE] = field()?.as_bytes().try_into().map_err(|_| "there are not 64 pixels")?;
    if fields.next().is_some() {
        return Err("a field is too many");
    }
    let mut pixels = [0; DIGIT_SIZE * DIGIT_SIZE];
    for (pixel, character) in pixels.iter_mut().zip(characters) {
        let value = char::from(character).to_digit(17).ok_or("a pixel is not 0 to 9 or a to g")?;
        *pixel = value as u8;
    }
    Ok(Digit { index, label, split, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_set_is_the_uci_test_set_split_by_label() {
        let digits = Digits::embedded().unwrap();
        let (train, test) = (digits.of(Split::Train), digits.of(Split::Test));
        assert_eq!((train.len(), test.len()), (1347, 450));
        for label in 0..10 {
            let share = test.iter().filter(|digit| digit.label == label).count();
            assert!((43..=47).contains(&share), "{share} test images of {label}");
        }
        assert!(train.iter().all(|digit| digit.pixels.iter().all(|&pixel| pixel <= MAX_INTENSITY)));
    }

    #[test]
    fn damage_is_named_by_its_line() {
        let zeros = "0".repeat(64);
        for (text, expected) in [
            (String::new(), "line 1: the header"),
            (format!("{HEADER}\n0,10,test,{zeros}"), "line 2: label"),
            (format!("{HEADER}\n0,1,test,{zeros}\n1,1,dev,{zeros}"), "line 3: split"),
            (format!("{HEADER}\n0,1,test,{zeros}0"), "line 2: there are not 64"),
            (format!("{HEADER}\n0,1,test,h{}", &zeros[1..]), "line 2: a pixel"),
            (format!("{HEADER}\n0,1,test,{zeros}"), "without an image for each"),
        ] {
            let error = Digits::parse(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Digits::open("no/such/digits.csv").unwrap_err().to_string().contains("no/such/digits.csv"));
    }
}
