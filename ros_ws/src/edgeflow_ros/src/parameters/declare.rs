//! Declaring a parameter: what it is for, what it may be, and whether it can change while the node runs.

use super::{Descriptor, Entry, ParameterType, ParameterValue, Range};
use crate::{
    error::{Error, Result},
    node::Node,
};
use std::{fmt, ops::RangeInclusive, sync::Arc};
use tokio::sync::watch;

/// Refuses a value with a reason.
type Rule<P> = Arc<dyn Fn(&P) -> Result<(), String> + Send + Sync>;

/// A parameter about to be declared; see [`Node::parameter`].
#[must_use = "a parameter is declared by `declare` or `read_only`"]
pub struct ParameterBuilder<'n, P> {
    node: &'n Node,
    name: String,
    default: P,
    descriptor: Descriptor,
    rules: Vec<Rule<P>>,
}

impl<'n, P: ParameterType> ParameterBuilder<'n, P> {
    pub(crate) fn new(node: &'n Node, name: &str, default: P) -> Self {
        Self { node, name: name.into(), default, descriptor: Descriptor::default(), rules: Vec::new() }
    }

    /// What it is for, with its unit.
    pub fn description(mut self, text: &str) -> Self {
        self.descriptor.description = text.into();
        self
    }

    /// What it must be, in words, where no range can say it.
    pub fn constraints(mut self, text: &str) -> Self {
        self.descriptor.constraints = text.into();
        self
    }

    /// Refuses values, each with a reason. Called with the node's parameters locked: it must not read or set any.
    pub fn validate(mut self, rule: impl Fn(&P) -> Result<(), String> + Send + Sync + 'static) -> Self {
        self.rules.push(Arc::new(rule));
        self
    }

    /// Declares a parameter that keeps its value for as long as the node runs, and returns it: the one from command
    /// line or parameter file, else the default.
    ///
    /// # Errors
    /// A value of another type or one it may not have, or a parameter that is declared already.
    pub fn read_only(mut self) -> Result<P> {
        self.descriptor.read_only = true;
        self.declare().map(|declared| declared.get())
    }

    /// Declares a parameter that can be set while the node runs.
    ///
    /// # Errors
    /// As [`ParameterBuilder::read_only`].
    pub fn declare(self) -> Result<DeclaredParameter<P>> {
        let Self { node, name, default, descriptor, rules } = self;
        let fits = move |value: ParameterValue| -> Result<P, String> {
            let given = format!("the {} {value}", value.type_name());
            let value = P::from_value(value).ok_or_else(|| format!("must be {}, got {given}", P::NAME))?;
            rules.iter().try_for_each(|rule| rule(&value))?;
            Ok(value)
        };
        let refused = |reason: String| Error::ParameterValue { node: node.fully_qualified_name().into(), name: name.clone(), reason };
        let value = match node.given_parameter(&name) {
            None => default,
            Some(given) => fits(given).map_err(refused)?,
        };
        let (sender, values) = watch::channel(value.clone());
        let entry = Entry {
            value: value.into_value(),
            descriptor,
            check: Box::new(move |value| fits(value).map(P::into_value)),
            apply: Box::new(move |value| {
                if let Some(value) = P::from_value(value.clone()) {
                    sender.send_replace(value);
                }
            }),
        };
        node.insert_parameter(&name, entry)?;
        Ok(DeclaredParameter { name, values })
    }
}

impl ParameterBuilder<'_, i64> {
    /// The least and the greatest it may be.
    pub fn range(mut self, range: RangeInclusive<i64>) -> Self {
        self.descriptor.range = Some(Range::Integer { from: *range.start(), to: *range.end() });
        self.within(range)
    }
}

impl ParameterBuilder<'_, f64> {
    /// The least and the greatest it may be. NaN is in no range.
    pub fn range(mut self, range: RangeInclusive<f64>) -> Self {
        self.descriptor.range = Some(Range::Double { from: *range.start(), to: *range.end() });
        self.within(range)
    }
}

impl<P: ParameterType + PartialOrd + fmt::Debug> ParameterBuilder<'_, P> {
    fn within(self, range: RangeInclusive<P>) -> Self {
        self.validate(move |value| {
            if range.contains(value) {
                Ok(())
            } else {
                Err(format!("must be from {:?} to {:?}, got {value:?}", range.start(), range.end()))
            }
        })
    }
}

impl ParameterBuilder<'_, String> {
    /// The only values it may have.
    pub fn choices(self, choices: &[&str]) -> Self {
        let text = format!("one of {}", choices.join(", "));
        let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
        self.constraints(&text).validate(
            move |value| {
                if choices.contains(value) { Ok(()) } else { Err(format!("must be {text}, got \"{value}\"")) }
            },
        )
    }
}

/// A declared parameter as the node's code sees it. Clones see the same value.
#[derive(Clone, Debug)]
pub struct DeclaredParameter<P> {
    name: String,
    values: watch::Receiver<P>,
}

impl<P: ParameterType> DeclaredParameter<P> {
    /// The parameter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its present value.
    #[must_use]
    pub fn get(&self) -> P {
        self.values.borrow().clone()
    }

    /// Its value when it is set the next time; `None` when the node is gone.
    pub async fn changed(&mut self) -> Option<P> {
        self.values.changed().await.ok()?;
        Some(self.values.borrow_and_update().clone())
    }
}
