//! Rows to domain types. What does not read back is an error that names it, never a default.

use edgeflow_store::StoreError;
use edgeflow_wire::{Class, Content};
use serde_json::Value;
use sqlx::{Row, sqlite::SqliteRow};

pub(crate) fn corrupt(what: &'static str) -> impl Fn(&dyn std::fmt::Display) -> StoreError {
    move |reason| StoreError::Corrupt { what, reason: reason.to_string() }
}

/// A column of a row.
pub(crate) fn get<'r, T>(row: &'r SqliteRow, column: &'static str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(column).map_err(|error| StoreError::Corrupt { what: column, reason: error.to_string() })
}

/// A number that is never negative.
pub(crate) fn get_u64(row: &SqliteRow, column: &'static str) -> Result<u64, StoreError> {
    u64::try_from(get::<i64>(row, column)?).map_err(|error| corrupt(column)(&error))
}

/// Text of JSON.
pub(crate) fn get_json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(get::<&str>(row, column)?).map_err(|error| corrupt(column)(&error))
}

/// A name that was checked when it was written.
pub(crate) fn get_name<T: std::str::FromStr<Err = edgeflow_core::CoreError>>(
    row: &SqliteRow,
    column: &'static str,
) -> Result<T, StoreError> {
    get::<&str>(row, column)?.parse().map_err(|error| corrupt(column)(&error))
}

/// A SHA-256.
pub(crate) fn get_hash(row: &SqliteRow, column: &'static str) -> Result<[u8; 32], StoreError> {
    <[u8; 32]>::try_from(get::<&[u8]>(row, column)?).map_err(|error| corrupt(column)(&error))
}

/// The number a class is stored as.
pub(crate) fn class_number(class: Class) -> i64 {
    match class {
        Class::Critical => 0,
        Class::Event => 1,
        Class::Summary => 2,
        Class::Detail => 3,
    }
}

/// The class stored as that number.
pub(crate) fn get_class(row: &SqliteRow) -> Result<Class, StoreError> {
    class_of(get(row, "class")?)
}

/// The class of that number.
pub(crate) fn class_of(number: i64) -> Result<Class, StoreError> {
    Class::ALL.into_iter().find(|class| class_number(*class) == number).ok_or_else(|| corrupt("class")(&number))
}

/// An entry's content from its kind and the JSON of its body.
pub(crate) fn content(kind: &str, body: &str) -> Result<Content, StoreError> {
    // Most are of a kind that is known, and read in one pass.
    if let Ok(known) = serde_json::from_str(&format!("{{\"kind\":{},\"body\":{body}}}", json(&kind)?)) {
        return Ok(Content::Known(known));
    }
    let body: Value = serde_json::from_str(body).map_err(|error| corrupt("entry")(&error))?;
    serde_json::from_value(serde_json::json!({ "kind": kind, "body": body })).map_err(|error| corrupt("entry")(&error))
}

/// Text as JSON.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Failed { operation: "writing JSON", source: Box::new(error) })
}

/// A number SQLite can hold.
pub(crate) fn int(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|error| StoreError::Failed { operation: "writing a number", source: Box::new(error) })
}
