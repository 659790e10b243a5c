//! The declared parameters of one node: what each may be, what it is, and the one way to change it.

use super::ParameterValue;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bounds of a number, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Range {
    Integer { from: i64, to: i64 },
    Double { from: f64, to: f64 },
}

/// What `ros2 param describe` tells of a parameter, besides its type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Descriptor {
    pub(crate) description: String,
    /// What no range can say, in words.
    pub(crate) constraints: String,
    pub(crate) range: Option<Range>,
    pub(crate) read_only: bool,
}

/// Brings a value to the declared type, or says why it cannot be.
pub(crate) type Check = Box<dyn Fn(ParameterValue) -> Result<ParameterValue, String> + Send + Sync>;
/// Hands a checked value to whoever uses it.
pub(crate) type Apply = Box<dyn Fn(&ParameterValue) + Send + Sync>;

/// A declared parameter.
pub(crate) struct Entry {
    pub(crate) value: ParameterValue,
    pub(crate) descriptor: Descriptor,
    pub(crate) check: Check,
    pub(crate) apply: Apply,
}

/// Every declared parameter by name.
#[derive(Default)]
pub(crate) struct Store(Mutex<BTreeMap<String, Entry>>);

impl Store {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        // A panic of a validation leaves the map as it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when the name is taken.
    pub(crate) fn insert(&self, name: &str, entry: Entry) -> bool {
        let mut all = self.lock();
        if all.contains_key(name) {
            return false;
        }
        all.insert(name.to_string(), entry);
        true
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Sets all of them or none. Gives what was set, or why nothing was.
    pub(crate) fn set(&self, wanted: Vec<(String, Option<ParameterValue>)>) -> Result<Vec<(String, ParameterValue)>, String> {
        let mut all = self.lock();
        let mut checked = Vec::with_capacity(wanted.len());
        for (name, value) in wanted {
            let Some(entry) = all.get(&name) else {
                return Err(format!("parameter {name} is not declared: `ros2 param list` shows those that are"));
            };
            if entry.descriptor.read_only {
                return Err(format!(
                    "parameter {name} is read-only: give it when the node starts, with -p {name}:=VALUE or a parameter file"
                ));
            }
            let Some(value) = value else {
                return Err(format!("parameter {name} cannot be deleted: it is declared with a type"));
            };
            let value = (entry.check)(value).map_err(|reason| format!("parameter {name}: {reason}"))?;
            checked.push((name, value));
        }
        for (name, value) in &checked {
            if let Some(entry) = all.get_mut(name) {
                entry.value = value.clone();
                (entry.apply)(value);
            }
        }
        Ok(checked)
    }
}
