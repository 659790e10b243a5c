//! The order of a robot's facts: the place of each, and which part of it a page asks of which source.

use std::{collections::BTreeSet, fmt, str::FromStr};

use super::{Category, Source};
use crate::CoreError;

/// A place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// When, microseconds since the Unix epoch.
    pub at_us: i64,
    /// Kept where.
    pub source: Source,
    /// Its number there.
    pub id: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.at_us, self.source.as_str(), self.id)
    }
}

impl FromStr for Place {
    type Err = CoreError;

    fn from_str(text: &str) -> Result<Self, CoreError> {
        let bad = || CoreError::BadName { what: "place", name: text.chars().take(64).collect(), rule: "give the \"next\" of a page" };
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or_else(bad);
        let (at_us, source, id) = (part()?, part()?, part()?);
        let source = Source::ALL.into_iter().find(|known| known.as_str() == source).ok_or_else(bad)?;
        Ok(Self { at_us: at_us.parse().map_err(|_| bad())?, source, id: id.parse().map_err(|_| bad())? })
    }
}

/// Which part of a robot's timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Nothing before.
    pub from_us: i64,
    /// Nothing from then on.
    pub to_us: i64,
    /// Only these; all when empty.
    pub categories: BTreeSet<Category>,
    /// Only what is older in the order.
    pub after: Option<Place>,
    /// At most so many, the newest.
    pub limit: u32,
}

/// What a window asks of one source: places `(time, id)` from `from_us` on and below `below`, the newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// No earlier time.
    pub from_us: i64,
    /// Only smaller places.
    pub below: (i64, i64),
    /// At most so many.
    pub limit: u32,
}

/// Which words of a list: kinds of entries, or actions on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Only these; `None`: any.
    pub only: Option<Vec<&'static str>>,
    /// But not these.
    pub except: Vec<&'static str>,
}

impl Window {
    /// All there is.
    pub fn everything(limit: u32) -> Self {
        Self { from_us: i64::MIN, to_us: i64::MAX, categories: BTreeSet::new(), after: None, limit }
    }

    fn wants(&self, category: Category) -> bool {
        self.categories.is_empty() || self.categories.contains(&category)
    }

    /// What is asked of a source; `None` when nothing is.
    pub fn span(&self, source: Source) -> Option<Span> {
        if !source.categories().iter().any(|category| self.wants(*category)) {
            return None;
        }
        let window = (self.to_us, i64::MIN);
        let below = self.after.map_or(window, |after| {
            let bound = match source.cmp(&after.source) {
                std::cmp::Ordering::Less => (after.at_us, i64::MAX),
                std::cmp::Ordering::Equal => (after.at_us, after.id),
                std::cmp::Ordering::Greater => (after.at_us, i64::MIN),
            };
            bound.min(window)
        });
        Some(Span { from_us: self.from_us, below, limit: self.limit })
    }

    /// Kinds of entries that are asked for.
    pub fn kinds(&self) -> Words {
        self.words(Category::kinds)
    }

    /// Acts that are asked for.
    pub fn actions(&self) -> Words {
        self.words(Category::actions)
    }

    fn words(&self, claimed: fn(Category) -> &'static [&'static str]) -> Words {
        let of = |wanted: bool| Category::ALL.into_iter().filter(move |one| self.wants(*one) == wanted).flat_map(claimed).copied();
        if self.wants(Category::Event) {
            Words { only: None, except: of(false).collect() }
        } else {
            Words { only: Some(of(true).collect()), except: Vec::new() }
        }
    }
}
