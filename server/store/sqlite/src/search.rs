//! Filters and orders as SQL. Every text and number people give is a bound parameter; what is pushed as SQL is ours.

use edgeflow_core::search::{Comparison, Condition, Field, Filter, Order, Test};
use edgeflow_store::StoreError;
use sqlx::{QueryBuilder, Sqlite};

/// Where the fields of one kind of thing are found.
pub(crate) struct Scheme {
    /// Name of an attribute, what it is compared by, and what it is sorted by.
    pub(crate) attributes: &'static [(&'static str, &'static str, &'static str)],
    /// `FROM ... x WHERE ...`, tied to the outer row, with `x.key`, `x.value` and `x.is_nan`; the latest value is the first by
    /// step, time and value.
    pub(crate) metrics: &'static str,
    /// The same with `x.key` and `x.value`.
    pub(crate) params: &'static str,
    /// The same.
    pub(crate) tags: &'static str,
    /// Field of a dataset, its `FROM ... x WHERE ...`, and its column.
    pub(crate) datasets: &'static [(&'static str, &'static str, &'static str)],
}

/// Adds what belongs behind the `WHERE` of metrics.
pub(crate) type Narrow<'a> = &'a (dyn Fn(&mut QueryBuilder<Sqlite>) + Sync);

/// Narrows nothing.
pub(crate) const EVERY: Narrow<'static> = &|_| {};

impl Scheme {
    fn attribute(&self, name: &'static str) -> Result<(&'static str, &'static str), StoreError> {
        let found = self.attributes.iter().find(|(known, _, _)| *known == name);
        found.map(|(_, compared, sorted)| (*compared, *sorted)).ok_or_else(|| unknown(name))
    }

    /// Appends ` AND ...` for each condition.
    pub(crate) fn push_filter(&self, query: &mut QueryBuilder<Sqlite>, filter: &Filter, narrow: Narrow<'_>) -> Result<(), StoreError> {
        filter.conditions.iter().try_for_each(|condition| self.push_condition(query, condition, narrow))
    }

    fn push_condition(
        &self,
        query: &mut QueryBuilder<Sqlite>,
        Condition { field, test }: &Condition,
        narrow: Narrow<'_>,
    ) -> Result<(), StoreError> {
        query.push(" AND ");
        let (from, column, key) = match field {
            Field::Attribute(attribute) => {
                let (column, _) = self.attribute(attribute.name)?;
                push_test(query, column, "", test);
                return Ok(());
            }
            Field::Metric(key) => (self.metrics, "x.value", Some(key)),
            Field::Param(key) => (self.params, "x.value", Some(key)),
            Field::Tag(key) => (self.tags, "x.value", Some(key)),
            Field::Dataset(name) => {
                let found = self.datasets.iter().find(|(known, _, _)| known == name);
                let (_, from, column) = found.ok_or_else(|| unknown(name))?;
                (*from, *column, None)
            }
        };
        if matches!(test, Test::Null { negated: false }) {
            query.push("NOT ");
        }
        query.push("EXISTS (SELECT 1 ").push(from);
        if let Some(key) = key {
            query.push(" AND x.key = ").push_bind(key.clone());
        }
        let metric = matches!(field, Field::Metric(_));
        if metric {
            narrow(query);
        }
        if !matches!(test, Test::Null { .. }) {
            query.push(" AND ");
            push_test(query, column, if metric { "x.is_nan" } else { "" }, test);
        }
        query.push(")");
        Ok(())
    }

    /// Appends `ORDER BY` and each order, what is not there last, then `ties`.
    pub(crate) fn push_orders<'a>(
        &self,
        query: &mut QueryBuilder<Sqlite>,
        orders: impl Iterator<Item = (&'a Order, Narrow<'a>)>,
        ties: &'static str,
    ) -> Result<(), StoreError> {
        query.push(" ORDER BY ");
        for (Order { field, descending }, narrow) in orders {
            let direction = if *descending { " DESC, " } else { " ASC, " };
            let (from, key) = match field {
                Field::Attribute(attribute) => {
                    let (_, column) = self.attribute(attribute.name)?;
                    query.push(column).push(" IS NULL, ").push(column).push(direction);
                    continue;
                }
                Field::Metric(key) => {
                    query.push("COALESCE((SELECT x.is_nan ");
                    self.push_latest(query, key, narrow);
                    query.push("), 2), (SELECT x.value ");
                    self.push_latest(query, key, narrow);
                    query.push(")").push(direction);
                    continue;
                }
                Field::Param(key) => (self.params, key),
                Field::Tag(key) => (self.tags, key),
                Field::Dataset(name) => return Err(unknown(name)),
            };
            for (open, close) in [("(SELECT x.value ", ") IS NULL, "), ("(SELECT x.value ", ")")] {
                query.push(open).push(from).push(" AND x.key = ").push_bind(key.clone()).push(close);
            }
            query.push(direction);
        }
        query.push(ties);
        Ok(())
    }

    fn push_latest(&self, query: &mut QueryBuilder<Sqlite>, key: &str, narrow: Narrow<'_>) {
        query.push(self.metrics).push(" AND x.key = ").push_bind(key.to_owned());
        narrow(query);
        query.push(" ORDER BY x.step DESC, x.timestamp_ms DESC, x.value DESC LIMIT 1");
    }
}

/// A field the grammar of a kind has and its scheme has not: the two were not changed together.
fn unknown(name: &str) -> StoreError {
    StoreError::Failed { operation: "searching", source: format!("{name} is no column").into() }
}

/// Appends a condition on `column`; `nan` says where NaN stands as 0.
fn push_test(query: &mut QueryBuilder<Sqlite>, column: &'static str, nan: &'static str, test: &Test) {
    match test {
        Test::Text { negated, value } => {
            query.push(column).push(if *negated { " != " } else { " = " }).push_bind(value.clone());
        }
        Test::Number { comparison, value } => {
            // NaN differs from everything and compares with nothing.
            match (nan, comparison) {
                ("", _) => query.push("("),
                (nan, Comparison::NotEqual) => query.push("(").push(nan).push(" OR "),
                (nan, _) => query.push("(NOT ").push(nan).push(" AND "),
            };
            query.push(column).push(" ").push(comparison.as_str()).push(" ").push_bind(*value).push(")");
        }
        Test::Like { pattern, ignore_case: true } => {
            query.push(column).push(" LIKE ").push_bind(pattern.clone());
        }
        Test::Like { pattern, ignore_case: false } => {
            query.push(column).push(" GLOB ").push_bind(glob(pattern));
        }
        Test::OneOf { negated, values } => {
            let list = serde_json::Value::from(values.clone()).to_string();
            query
                .push(column)
                .push(if *negated { " NOT IN " } else { " IN " })
                .push("(SELECT value FROM json_each(")
                .push_bind(list)
                .push("))");
        }
        Test::Null { negated } => {
            query.push(column).push(if *negated { " IS NOT NULL" } else { " IS NULL" });
        }
    }
}

/// The pattern of `LIKE` as one of `GLOB`, which tells `a` from `A`.
fn glob(pattern: &str) -> String {
    let mut glob = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        match c {
            '%' => glob.push('*'),
            '_' => glob.push('?'),
            '*' | '?' | '[' => glob.extend(['[', c, ']']),
            c => glob.push(c),
        }
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn a_pattern_keeps_its_meaning() {
        assert_eq!(glob("a%_*?[x]"), "a*?[*][?][[]x]");
    }
}
