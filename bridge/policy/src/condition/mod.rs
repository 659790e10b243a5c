//! Conditions over values of messages, in the Common Expression Language.
//!
//! A condition comes from outside, so it is bounded before it is ever evaluated: its bytes, its parts and how deep they lie. It
//! has no loops (macros such as `exists` are refused; `reduce` makes one value of many), so one evaluation costs no more than
//! its parts. What it names (`battery.percentage`) is taken out when it is read: the robot knows which octets of which messages
//! it needs, and types are checked before the first message comes.

mod lower;
mod types;

use cel::{Context, Env, Value, common::ast::IdedExpr, parser::PrattParser};
use edgeflow_wire::{MAX_CONDITION_BYTES, SampleValue, Step};
use std::{
    fmt,
    sync::{Arc, LazyLock},
};

pub use types::Type;

use crate::Reading;

/// Most parts of a condition: values, names, operators and calls.
const MAX_PARTS: usize = 200;
/// How deep they may lie in each other.
const MAX_DEPTH: usize = 32;
/// Longest string that is looked at, bytes.
const MAX_TEXT_BYTES: usize = 4_096;

/// The functions there are; which of them a condition may use is [`lower`]'s to say.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    // It collides with nothing of the standard library. If it ever did, `math.abs` would be an error of evaluation.
    drop(cel::extensions::math(&mut env));
    Arc::new(env)
});

/// What a condition names: a variable, and the way into the message it stands for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The variable.
    pub variable: String,
    /// Empty when the variable is a value by itself.
    pub path: Vec<Step>,
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.variable)?;
        for step in &self.path {
            match step {
                Step::Field(name) => write!(f, ".{name}")?,
                Step::At(index) => write!(f, "[{index}]")?,
                Step::Every => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}

/// A value that a condition looks at.
#[derive(Debug, Clone, PartialEq)]
pub enum Known {
    /// A boolean.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// A string.
    Text(String),
}

impl Known {
    /// As a message has it.
    ///
    /// # Errors
    /// What cannot be looked at: an integer beyond 2^63, a string of more than 4096 bytes.
    pub fn of(reading: Reading<'_>) -> Result<Self, String> {
        match reading {
            Reading::Bool(value) => Ok(Known::Bool(value)),
            Reading::Integer(value) => i64::try_from(value).map(Known::Integer).map_err(|_| format!("{value} is beyond 64 bits")),
            Reading::Float(value) => Ok(Known::Float(value)),
            Reading::Text(text) if text.len() > MAX_TEXT_BYTES => {
                Err(format!("a string of {} bytes: more than {MAX_TEXT_BYTES} are not looked at", text.len()))
            }
            Reading::Text(text) => Ok(Known::Text(text.to_owned())),
        }
    }

    /// As it is told.
    pub fn sample(&self) -> SampleValue {
        match self {
            Known::Bool(value) => Reading::Bool(*value).sample(),
            Known::Integer(value) => Reading::Integer((*value).into()).sample(),
            Known::Float(value) => Reading::Float(*value).sample(),
            Known::Text(text) => Reading::Text(text).sample(),
        }
    }

    fn value(&self) -> Value {
        match self {
            Known::Bool(value) => Value::Bool(*value),
            Known::Integer(value) => Value::Int(*value),
            Known::Float(value) => Value::Float(*value),
            Known::Text(text) => Value::from(text.as_str()),
        }
    }
}

/// A condition that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    expression: IdedExpr,
    references: Vec<Reference>,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// What is wrong with it: no expression, too large, or something that conditions do not have.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_CONDITION_BYTES {
            return Err(format!("{} bytes are more than {MAX_CONDITION_BYTES}", text.len()));
        }
        let parser = PrattParser::new().max_recursion_depth(MAX_DEPTH as u16).max_expression_node_count(MAX_PARTS).error_recovery_limit(1);
        let parsed = parser.parse(text).map_err(|errors| match errors.errors.first() {
            Some(error) => format!("column {}: {}", error.pos.1.max(0) + 1, error.msg),
            None => "no expression".to_owned(),
        })?;
        let (expression, references) = lower::lower(parsed)?;
        let condition = Self { expression, references };
        if condition.references.is_empty() {
            return Err("it names no variable, so it would never change".to_owned());
        }
        condition.check(|_| Ok(Type::Any))?;
        Ok(condition)
    }

    /// What it names, each once. Values for [`Condition::holds`] come in this order.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// Checks that its parts fit each other, now that the types of what it names are known.
    ///
    /// # Errors
    /// What does not fit, or what `type_of` says.
    pub fn check(&self, type_of: impl Fn(&Reference) -> Result<Type, String>) -> Result<(), String> {
        let types = self.references.iter().map(type_of).collect::<Result<Vec<_>, _>>()?;
        match types::of(&self.expression, &types)? {
            Type::Bool | Type::Any => Ok(()),
            other => Err(format!("it is {other}: a condition is true or false")),
        }
    }

    /// Whether it holds of these values, one for each of [`Condition::references`].
    ///
    /// # Errors
    /// What cannot be computed: a division by zero, parts that do not fit.
    pub fn holds(&self, values: &[Known]) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
        for (at, known) in values.iter().enumerate() {
            context.add_variable_from_value(lower::variable(at), known.value());
        }
        match Value::resolve(&self.expression, &context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("it is {:?}, neither true nor false", other.type_of())),
            // The language compares NaN with nothing, and says so in a way that helps nobody.
            Err(error) => match values.iter().position(|known| matches!(known, Known::Float(value) if value.is_nan())) {
                Some(at) => Err(format!("{} is NaN", self.references.get(at).map(ToString::to_string).unwrap_or_default())),
                None => Err(error.to_string()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
