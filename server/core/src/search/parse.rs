//! Words to filters and orders.

use super::{
    Comparison, Condition, Field, Filter, Grammar, Kind, Near, Order, Scope, SearchError, Test,
    token::{Token, What, tokens},
};

/// Most conditions of one filter: databases have a limit too.
const MAX_CONDITIONS: usize = 200;
/// Most texts of all lists of one filter.
const MAX_VALUES: usize = 10_000;
/// Most wildcards of one pattern: matching takes time that grows with them.
const MAX_WILDCARDS: usize = 32;
/// Most bytes of a pattern: SQLite matches none of over 50,000, and escaping makes them longer.
const MAX_PATTERN_BYTES: usize = 10_000;

pub(super) fn filter(text: &str, grammar: &Grammar) -> Result<Filter, SearchError> {
    let tokens = tokens(text, "filter")?;
    let mut parser = Parser { tokens: &tokens, at: 0, what: "filter", end: text.chars().count() + 1, values: 0 };
    let mut conditions = Vec::new();
    if tokens.is_empty() {
        return Ok(Filter { conditions });
    }
    loop {
        let open = parser.sign("(");
        conditions.push(parser.condition(grammar)?);
        if open && !parser.sign(")") {
            return Err(parser.error("the parenthesis around a condition is closed right behind it"));
        }
        if conditions.len() > MAX_CONDITIONS {
            return Err(parser.error(format!("a filter has at most {MAX_CONDITIONS} conditions")));
        }
        if parser.peek().is_none() {
            return Ok(Filter { conditions });
        }
        if !parser.word("and") {
            return Err(parser.error("conditions are joined with AND; there is no OR and no NOT before a condition"));
        }
    }
}

pub(super) fn order(text: &str, grammar: &Grammar) -> Result<Order, SearchError> {
    let tokens = tokens(text, "order_by")?;
    let mut parser = Parser { tokens: &tokens, at: 0, what: "order_by", end: text.chars().count() + 1, values: 0 };
    let place = parser.at;
    let field = parser.field(grammar, true)?;
    let sortable = match &field {
        Field::Attribute(attribute) => grammar.sortable.is_empty() || grammar.sortable.contains(&attribute.name),
        Field::Dataset(_) => false,
        Field::Metric(_) | Field::Param(_) | Field::Tag(_) => true,
    };
    if !sortable {
        parser.at = place;
        let known =
            if grammar.sortable.is_empty() { "its attributes, metrics, params or tags".to_owned() } else { grammar.sortable.join(", ") };
        return Err(parser.error(format!("{}s are not sorted by this: use {known}", grammar.entity)));
    }
    let descending = parser.word("desc");
    if !descending {
        parser.word("asc");
    }
    match parser.peek() {
        None => Ok(Order { field, descending }),
        Some(_) => Err(parser.error("only ASC or DESC may follow; several orders are several items of the list")),
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    what: &'static str,
    /// Place of the end.
    end: usize,
    values: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    fn error(&self, reason: impl Into<String>) -> SearchError {
        let (at, near) = self.peek().map_or((self.end, String::new()), |token| (token.at, token.text.clone()));
        SearchError { what: self.what, at, near: Near(near.chars().take(60).collect()), reason: reason.into() }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek().map(|token| &token.what), Some(What::Sign(there)) if *there == sign);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek().map(|token| &token.what),
            Some(What::Name { first, rest: None }) if first.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn condition(&mut self, grammar: &Grammar) -> Result<Condition, SearchError> {
        let field = self.field(grammar, false)?;
        let test = match kind(&field) {
            Kind::Number => self.number_test()?,
            Kind::Text => self.text_test(&field)?,
        };
        Ok(Condition { field, test })
    }

    fn field(&mut self, grammar: &Grammar, sorting: bool) -> Result<Field, SearchError> {
        let Some(token) = self.peek() else {
            return Err(self.error(format!("the name of what {}s are searched by belongs here", grammar.entity)));
        };
        let (first, rest) = match &token.what {
            What::Name { first, rest } => (first.as_str(), rest.as_deref()),
            // Double quotes around a whole name: people write "name" = 'x', and `"metrics.loss" DESC`.
            What::Quoted(name) if token.text.starts_with('"') => match name.split_once('.') {
                Some((first, rest)) if sorting => (first, Some(rest)),
                _ => (name.as_str(), None),
            },
            _ => return Err(self.error("a name belongs here, such as metrics.loss, params.\"learning rate\" or start_time")),
        };
        let Some(key) = rest else {
            let field = self.attribute(first, grammar)?;
            self.at += 1;
            return Ok(field);
        };
        let scope = scope(first).filter(|scope| *scope == Scope::Attribute || grammar.scopes.contains(scope));
        let field = match scope {
            Some(Scope::Attribute) => self.attribute(key, grammar)?,
            Some(Scope::Metric) => Field::Metric(key.to_owned()),
            Some(Scope::Param) => Field::Param(key.to_owned()),
            Some(Scope::Tag) => Field::Tag(key.to_owned()),
            Some(Scope::Dataset) => match ["name", "digest", "context"].into_iter().find(|known| *known == key) {
                Some(known) => Field::Dataset(known),
                None => return Err(self.error(format!("a dataset has no {key:?}: use datasets.name, datasets.digest or datasets.context"))),
            },
            None => {
                let names = grammar.scopes.iter().map(|scope| scope_name(*scope)).chain(["attributes"]).collect::<Vec<_>>().join(", ");
                return Err(self.error(format!("{first:?} is nothing {}s have: before the dot stands one of {names}", grammar.entity)));
            }
        };
        self.at += 1;
        Ok(field)
    }

    fn attribute(&self, name: &str, grammar: &Grammar) -> Result<Field, SearchError> {
        let found = grammar.attributes.iter().find(|attribute| attribute.name == name || attribute.aliases.contains(&name));
        found.map(Field::Attribute).ok_or_else(|| {
            let known = grammar.attributes.iter().map(|attribute| attribute.name).collect::<Vec<_>>().join(", ");
            self.error(format!("{}s have no attribute {name:?}; they have {known}", grammar.entity))
        })
    }

    fn number_test(&mut self) -> Result<Test, SearchError> {
        let comparison = self.comparison("a number is compared with =, !=, <, <=, > or >=")?;
        match self.peek().map(|token| &token.what) {
            Some(What::Number(value)) => {
                self.at += 1;
                Ok(Test::Number { comparison, value: *value })
            }
            _ => Err(self.error("a number without quotes belongs here")),
        }
    }

    fn text_test(&mut self, field: &Field) -> Result<Test, SearchError> {
        if self.word("is") {
            let negated = self.word("not");
            if !self.word("null") {
                return Err(self.error("NULL or NOT NULL belongs after IS"));
            }
            if matches!(field, Field::Dataset(_)) {
                return Err(self.error("whether there is a dataset cannot be asked with NULL"));
            }
            return Ok(Test::Null { negated });
        }
        let negated = self.word("not");
        if self.word("in") {
            return self.list(negated);
        }
        if negated {
            return Err(self.error("IN belongs after NOT"));
        }
        for (word, ignore_case) in [("like", false), ("ilike", true)] {
            if self.word(word) {
                let pattern = self.text()?;
                let wildcards = pattern.chars().filter(|c| matches!(c, '%' | '_')).count();
                if wildcards > MAX_WILDCARDS || pattern.len() > MAX_PATTERN_BYTES {
                    self.at = self.at.saturating_sub(1);
                    return Err(self.error(format!("a pattern has at most {MAX_WILDCARDS} of % and _, and {MAX_PATTERN_BYTES} bytes")));
                }
                return Ok(Test::Like { pattern, ignore_case });
            }
        }
        let place = self.at;
        match self.comparison("a text is compared with =, !=, LIKE, ILIKE, IN, NOT IN or IS NULL")? {
            Comparison::Equal => Ok(Test::Text { negated: false, value: self.text()? }),
            Comparison::NotEqual => Ok(Test::Text { negated: true, value: self.text()? }),
            _ => {
                self.at = place;
                Err(self.error("a text is compared with =, !=, LIKE, ILIKE, IN, NOT IN or IS NULL"))
            }
        }
    }

    fn comparison(&mut self, otherwise: &str) -> Result<Comparison, SearchError> {
        let known = [
            Comparison::Equal,
            Comparison::NotEqual,
            Comparison::Less,
            Comparison::LessOrEqual,
            Comparison::Greater,
            Comparison::GreaterOrEqual,
        ];
        known.into_iter().find(|comparison| self.sign(comparison.as_str())).ok_or_else(|| self.error(otherwise))
    }

    fn text(&mut self) -> Result<String, SearchError> {
        match self.peek().map(|token| &token.what) {
            Some(What::Quoted(text)) => {
                self.at += 1;
                Ok(text.clone())
            }
            _ => Err(self.error("a text in quotes belongs here")),
        }
    }

    fn list(&mut self, negated: bool) -> Result<Test, SearchError> {
        if !self.sign("(") {
            return Err(self.error("a list in parentheses belongs here: ('a', 'b')"));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.text()?);
            self.values += 1;
            if self.values > MAX_VALUES {
                return Err(self.error(format!("the lists of a filter have at most {MAX_VALUES} texts")));
            }
            if self.sign(")") {
                return Ok(Test::OneOf { negated, values });
            }
            if !self.sign(",") {
                return Err(self.error("a comma or the closing parenthesis belongs here"));
            }
            // One comma too many, as Python writes a tuple of one.
            if self.sign(")") {
                return Ok(Test::OneOf { negated, values });
            }
        }
    }
}

fn kind(field: &Field) -> Kind {
    match field {
        Field::Attribute(attribute) => attribute.kind,
        Field::Metric(_) => Kind::Number,
        Field::Param(_) | Field::Tag(_) | Field::Dataset(_) => Kind::Text,
    }
}

fn scope(word: &str) -> Option<Scope> {
    Some(match word {
        "metric" | "metrics" => Scope::Metric,
        "param" | "params" | "parameter" | "parameters" => Scope::Param,
        "tag" | "tags" => Scope::Tag,
        "dataset" | "datasets" => Scope::Dataset,
        "attribute" | "attributes" | "attr" | "run" => Scope::Attribute,
        _ => return None,
    })
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Attribute => "attributes",
        Scope::Metric => "metrics",
        Scope::Param => "params",
        Scope::Tag => "tags",
        Scope::Dataset => "datasets",
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
