//! Where in a file a part of a declaration stands: line and column of `slots.reader.targets.groups`, as far down as the file has it.
//!
//! YAML's values do not remember where they were, but errors while reading do: so the way to the part is read, and stopped at it.

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// One step of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// Line and column, from 1.
pub(crate) type Place = (usize, usize);

/// Place of the part at `path` in `text`, or of the innermost part above it that is there; and how many steps down that is.
pub(crate) fn locate(text: &str, path: &str) -> Option<(usize, Place)> {
    let steps = steps(path);
    for depth in (1..=steps.len()).rev() {
        let way = steps.get(..depth)?;
        for document in serde_norway::Deserializer::from_str(text) {
            if let Err(error) = Walk(way).deserialize(document)
                && error.to_string().contains(HERE)
                && let Some(location) = error.location()
            {
                return Some((depth, (location.line(), location.column())));
            }
        }
    }
    None
}

/// No file says this by itself.
const HERE: &str = "\u{1}here\u{1}";

fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let mut pieces = part.split('[');
        steps.extend(pieces.next().filter(|key| !key.is_empty()).map(|key| Step::Key(key.to_owned())));
        steps.extend(pieces.filter_map(|index| index.trim_end_matches(']').parse().ok()).map(Step::Index));
    }
    steps
}

/// Reads down the way, and fails at its end.
struct Walk<'a>(&'a [Step]);

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.0.split_first() else { return Err(de::Error::custom(HERE)) };
        let key = match step {
            Step::Key(key) => key.as_str(),
            Step::Index(_) => "\u{1}",
        };
        while let Some(found) = map.next_key_seed(Key { key, stop: rest.is_empty() })? {
            if found {
                map.next_value_seed(Walk(rest))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((step, rest)) = self.0.split_first() else { return Err(de::Error::custom(HERE)) };
        let mut at = 0;
        loop {
            let more =
                if *step == Step::Index(at) { seq.next_element_seed(Walk(rest))? } else { seq.next_element::<IgnoredAny>()?.map(drop) };
            if more.is_none() {
                return Ok(());
            }
            at += 1;
        }
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.scalar()
    }
}

impl Walk<'_> {
    fn scalar<E: de::Error>(&self) -> Result<(), E> {
        if self.0.is_empty() { Err(E::custom(HERE)) } else { Ok(()) }
    }
}

/// Whether a key is the next step; at the last step it fails, where the key stands.
struct Key<'a> {
    key: &'a str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        let stop = self.stop.then(|| self.key.to_owned());
        deserializer.deserialize_str(AtKey { key: self.key, stop })
    }
}

struct AtKey<'a> {
    key: &'a str,
    stop: Option<String>,
}

impl Visitor<'_> for AtKey<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        if self.stop.as_deref() == Some(key) { Err(E::custom(HERE)) } else { Ok(key == self.key) }
    }
}

/// Something that is read from YAML, with what the reader of it says when it does not read.
pub(crate) fn documents<T: for<'de> Deserialize<'de>>(text: &str) -> Vec<Result<Option<T>, serde_norway::Error>> {
    let mut read = Vec::new();
    for document in serde_norway::Deserializer::from_str(text) {
        let one = Option::<T>::deserialize(document);
        let failed = one.is_err();
        read.push(one);
        if failed {
            break; // what follows is not where a document begins
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "groups:\n  berlin:\n    labels: {site: [berlin]}\n---\nslots:\n  reader:\n    release:\n      name: reader\n    targets:\n      names:\n        - robot-1\n        - robot-2\n";

    #[test]
    fn a_part_is_found_where_it_stands_and_else_what_is_above_it() {
        assert_eq!(locate(TEXT, "groups.berlin"), Some((2, (2, 3))));
        assert_eq!(locate(TEXT, "groups.berlin.labels.site"), Some((4, (3, 14))));
        assert_eq!(locate(TEXT, "slots.reader.release.name"), Some((4, (8, 7))), "also of the second document");
        assert_eq!(locate(TEXT, "slots.reader.targets.names[1]"), Some((5, (12, 11))));
        assert_eq!(locate(TEXT, "slots.reader.release.version"), Some((3, (7, 5))), "what is missing is missing there");
        assert_eq!(locate(TEXT, "rollouts.careful"), None);
    }
}
