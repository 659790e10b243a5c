//! The filters and orders people search by, as MLflow's clients write them: `metrics.loss < 0.1 AND tags."kind" LIKE 'a%'`,
//! `attributes.start_time DESC`.
//!
//! A text is read against a [`Grammar`], which says what a kind of thing can be searched by, into types that hold only what
//! makes sense; an adapter turns those into its database's language and never sees the text. What does not read is an
//! error that points at its place.

mod parse;
mod token;

use std::fmt;

/// A place in a filter or order where it stops making sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bad {what}, at character {at}{near}: {reason}")]
pub struct SearchError {
    /// `filter` or `order_by`.
    pub what: &'static str,
    /// Which character, from 1.
    pub at: usize,
    /// What stands there, quoted; empty at the end.
    pub near: Near,
    /// What is wrong and what is possible.
    pub reason: String,
}

/// What stands at the place of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Near(pub String);

impl fmt::Display for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str(" (its end)") } else { write!(f, " ({:?})", self.0) }
    }
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text: `=`, `!=`, `LIKE`, `ILIKE`, `IN`, `NOT IN`, `IS NULL`.
    Text,
    /// A number: `=`, `!=`, `<`, `<=`, `>`, `>=`.
    Number,
}

/// Something every thing of a kind has.
#[derive(Debug, PartialEq, Eq)]
pub struct Attribute {
    /// What adapters know it by.
    pub name: &'static str,
    /// Other names people may use.
    pub aliases: &'static [&'static str],
    /// What it is.
    pub kind: Kind,
}

impl Attribute {
    /// A text.
    pub const fn text(name: &'static str, aliases: &'static [&'static str]) -> Self {
        Self { name, aliases, kind: Kind::Text }
    }

    /// A number.
    pub const fn number(name: &'static str, aliases: &'static [&'static str]) -> Self {
        Self { name, aliases, kind: Kind::Number }
    }
}

/// Which family a field belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// What every thing of the kind has.
    Attribute,
    /// The latest value of a metric.
    Metric,
    /// A parameter.
    Param,
    /// A tag.
    Tag,
    /// A dataset that went in.
    Dataset,
}

/// What a kind of thing can be searched by.
#[derive(Debug)]
pub struct Grammar {
    /// What is searched, for messages: `run`.
    pub entity: &'static str,
    /// What every one has.
    pub attributes: &'static [Attribute],
    /// What comes before the dot, besides attributes.
    pub scopes: &'static [Scope],
    /// What can be sorted by, of the attributes; all when empty.
    pub sortable: &'static [&'static str],
}

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// An attribute of the grammar.
    Attribute(&'static Attribute),
    /// The latest value of the metric of that name.
    Metric(String),
    /// The parameter of that name.
    Param(String),
    /// The tag of that name.
    Tag(String),
    /// A dataset's `name`, `digest` or `context`.
    Dataset(&'static str),
}

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// As SQL and people write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Comparison::Equal => "=",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}

/// What must hold of a field.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// A text is, or is not, this one.
    Text {
        /// Whether it must differ.
        negated: bool,
        /// The text.
        value: String,
    },
    /// A number compares so with this one.
    Number {
        /// How.
        comparison: Comparison,
        /// With what.
        value: f64,
    },
    /// A text has this shape: `%` is any text, `_` any one character.
    Like {
        /// The shape.
        pattern: String,
        /// Whether `a` is `A`.
        ignore_case: bool,
    },
    /// A text is one of these, or none.
    OneOf {
        /// Whether it must be none.
        negated: bool,
        /// The texts, at least one.
        values: Vec<String>,
    },
    /// There is no such parameter, tag or text; or there is.
    Null {
        /// Whether there must be one.
        negated: bool,
    },
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// About what.
    pub field: Field,
    /// What must hold.
    pub test: Test,
}

/// Conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// The conditions; none holds of everything.
    pub conditions: Vec<Condition>,
}

/// By what a list is sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// By what.
    pub field: Field,
    /// Whether the greatest comes first.
    pub descending: bool,
}

impl Filter {
    /// Reads a filter. Blank text holds of everything.
    pub fn parse(text: &str, grammar: &Grammar) -> Result<Self, SearchError> {
        parse::filter(text, grammar)
    }
}

impl Order {
    /// Reads one clause, such as `metrics.loss DESC`.
    pub fn parse(text: &str, grammar: &Grammar) -> Result<Self, SearchError> {
        parse::order(text, grammar)
    }

    /// Reads a list of clauses.
    pub fn parse_all<T: AsRef<str>>(clauses: &[T], grammar: &Grammar) -> Result<Vec<Self>, SearchError> {
        clauses.iter().map(|clause| Self::parse(clause.as_ref(), grammar)).collect()
    }
}
