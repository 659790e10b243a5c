//! The SQLite adapter of the Store traits.
