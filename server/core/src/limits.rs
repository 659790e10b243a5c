//! What keys and values of experiments, runs and models may be: MLflow's limits.

use crate::CoreError;

/// Most characters of a key.
pub const MAX_KEY: usize = 250;

/// At most so many characters.
pub fn check_length(what: &str, text: &str, most: usize) -> Result<(), CoreError> {
    // Counting is dear for what is far too long anyhow.
    if text.len() > most && (text.len() > most * 4 || text.chars().count() > most) {
        return Err(CoreError::BadTracking { reason: format!("{what} exceeds the maximum length of {most} characters") });
    }
    Ok(())
}

/// A key of a metric, parameter or tag. Clients keep some as files, so none may climb out of a folder.
pub fn check_key(what: &str, key: &str) -> Result<(), CoreError> {
    let bad = |reason: String| Err(CoreError::BadTracking { reason });
    if key.is_empty() {
        return bad(format!("the {what}'s key is not empty"));
    }
    check_length(&format!("the {what}'s key"), key, MAX_KEY)?;
    if !key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ' ' | '/' | ':')) {
        return bad(format!("bad {what} key {key:?}: use letters, digits, underscores, dashes, dots, blanks, colons and slashes"));
    }
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if !key.split('/').all(plain) {
        return bad(format!("bad {what} key {key:?}: between slashes stands a name, not \".\", \"..\" or nothing"));
    }
    Ok(())
}

/// The first `most` characters.
pub fn truncated(mut text: String, most: usize) -> String {
    if text.len() > most
        && let Some((end, _)) = text.char_indices().nth(most)
    {
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_climb_or_carry_signs_are_refused() {
        for good in ["a", "train/loss", "a b", "mlflow.source.git.commit", "x:y-z_1", "größe"] {
            assert!(check_key("tag", good).is_ok(), "{good}");
        }
        for bad in ["", "..", "../a", "a/../b", "/a", "a//b", "a/", "a+b", "a\0", "a\nb", &"k".repeat(251)] {
            assert!(check_key("tag", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lengths_count_characters() {
        assert!(check_length("it", &"é".repeat(10), 10).is_ok());
        assert!(check_length("it", &"é".repeat(11), 10).is_err());
        assert_eq!(truncated("éé".to_owned(), 1), "é");
        assert_eq!(truncated("ab".to_owned(), 2), "ab");
    }
}
