//! A search text, cut into words.

use super::{Near, SearchError};

/// One word and where it begins.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) what: What,
    /// Which character, from 1.
    pub(super) at: usize,
    /// As it was written.
    pub(super) text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    /// A name, its parts between dots already put together: the first part, and the rest.
    Name { first: String, rest: Option<String> },
    /// Text in single or double quotes, without them.
    Quoted(String),
    /// A number.
    Number(f64),
    /// `=`, `!=`, `<`, ... , `(`, `)`, `,`.
    Sign(&'static str),
}

/// Longest first, so that `<=` is not `<` and something.
const SIGNS: [&str; 11] = ["!=", "<>", "<=", ">=", "==", "=", "<", ">", "(", ")", ","];

/// Cuts a text into words.
pub(super) fn tokens(text: &str, what: &'static str) -> Result<Vec<Token>, SearchError> {
    let chars: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut reader = Reader { chars: &chars, at: 0, what };
    while let Some(next) = reader.peek() {
        if next.is_whitespace() || next == ';' {
            reader.at += 1;
            continue;
        }
        let start = reader.at;
        let token = reader.token(next)?;
        found.push(Token { what: token, at: start + 1, text: reader.since(start) });
    }
    Ok(found)
}

struct Reader<'a> {
    chars: &'a [char],
    at: usize,
    what: &'static str,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn since(&self, start: usize) -> String {
        self.chars.get(start..self.at).unwrap_or_default().iter().collect()
    }

    fn error(&self, at: usize, reason: impl Into<String>) -> SearchError {
        let near = self.chars.iter().skip(at).take(20).collect();
        SearchError { what: self.what, at: at + 1, near: Near(near), reason: reason.into() }
    }

    fn token(&mut self, next: char) -> Result<What, SearchError> {
        let start = self.at;
        if next == '\'' {
            return self.quoted(next).map(What::Quoted);
        }
        if next == '"' || next == '`' {
            let first = self.quoted(next)?;
            // "a".b and `a`.b are names; "a" alone is text, `a` alone is a name.
            return match self.rest()? {
                None if next == '"' => Ok(What::Quoted(first)),
                rest => Ok(What::Name { first, rest }),
            };
        }
        let signed = matches!(next, '-' | '+' | '.') && self.chars.get(self.at + 1).is_some_and(|c| c.is_ascii_digit() || *c == '.');
        if next.is_ascii_digit() || signed {
            return self.number(start);
        }
        for sign in SIGNS {
            if self.chars.iter().skip(self.at).take(sign.len()).copied().eq(sign.chars()) {
                self.at += sign.len();
                return Ok(What::Sign(match sign {
                    "<>" => "!=",
                    "==" => "=",
                    sign => sign,
                }));
            }
        }
        if !in_name(next) {
            return Err(self.error(start, "this character begins nothing: names, quoted text, numbers and comparisons do"));
        }
        let first = self.plain();
        let rest = self.rest()?;
        Ok(What::Name { first, rest })
    }

    /// Letters and what people put into keys, without the dot.
    fn plain(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(in_name) {
            self.at += 1;
        }
        self.since(start)
    }

    /// What follows after a dot, up to the end of the name.
    fn rest(&mut self) -> Result<Option<String>, SearchError> {
        if self.peek() != Some('.') {
            return Ok(None);
        }
        self.at += 1;
        match self.peek() {
            Some(quote @ ('"' | '`')) => self.quoted(quote).map(Some),
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|c| in_name(c) || c == '.') {
                    self.at += 1;
                }
                if self.at == start {
                    return Err(self
                        .error(start, "a key belongs after the dot; one with blanks or signs goes into \"double quotes\" or `backticks`"));
                }
                Ok(Some(self.since(start)))
            }
        }
    }

    /// Text up to the same quote; a doubled one stands for itself.
    fn quoted(&mut self, quote: char) -> Result<String, SearchError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None => return Err(self.error(start, format!("the {quote} is never closed"))),
                Some(c) if c == quote => {
                    self.at += 1;
                    if self.peek() != Some(quote) {
                        return Ok(text);
                    }
                    text.push(quote);
                }
                Some(c) => text.push(c),
            }
            self.at += 1;
        }
    }

    fn number(&mut self, start: usize) -> Result<What, SearchError> {
        let mut before = ' ';
        while let Some(c) = self.peek() {
            let sign = matches!(c, '-' | '+') && (self.at == start || matches!(before, 'e' | 'E'));
            if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || sign) {
                break;
            }
            before = c;
            self.at += 1;
        }
        let text = self.since(start);
        // `inf` and `nan` are words to Rust, not numbers here; 1_000 is Python's.
        match text.parse::<f64>() {
            Ok(number) if text.bytes().any(|byte| byte.is_ascii_digit()) => Ok(What::Number(number)),
            _ => Err(self.error(start, "this is no number")),
        }
    }
}

fn in_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '/' | ':' | '@' | '$')
}
