//! Whatever people search for is a value to the database, never a part of its language: the answers are those of a plain
//! comparison, for any text.

#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy exempts test functions, not their helpers")]

use edgeflow_core::{
    OrganisationId,
    experiment::{Pair, View},
    run::{LogBatch, NAME_TAG, NewRun, RUNS},
    search::{Filter, Order},
};
use edgeflow_store::{Slice, Stores};
use edgeflow_store_sqlite::Sqlite;
use proptest::{prelude::*, test_runner::TestRunner};

/// Texts full of what means something to SQL, to patterns and to the grammar.
fn text() -> impl Strategy<Value = String> {
    let parts = [
        "'", "\"", "`", "%", "_", "*", "?", "[", "]", "^", "\\", ";", "--", "/*", ")", "OR 1=1", "a", "A", "b", "é", " ", "?1", ":x", "日",
    ];
    proptest::collection::vec(proptest::sample::select(parts.to_vec()), 0..6).prop_map(|parts| parts.concat())
}

/// What `LIKE` means.
fn like(pattern: &[char], text: &[char]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some(('%', rest)), None) => like(rest, text),
        (Some(('%', rest)), Some((_, shorter))) => like(rest, text) || like(pattern, shorter),
        (Some((wanted, pattern)), Some((c, text))) => (*wanted == '_' || wanted == c) && like(pattern, text),
        _ => false,
    }
}

fn chars(text: &str) -> Vec<char> {
    text.chars().collect()
}

fn lower(text: &str) -> Vec<char> {
    text.chars().map(|c| c.to_ascii_lowercase()).collect()
}

async fn found(stores: &Stores, filter: &str) -> bool {
    let filter = Filter::parse(filter, &RUNS).unwrap_or_else(|error| panic!("{filter}: {error}"));
    let orders = [Order::parse("tags.t DESC", &RUNS).unwrap()];
    let slice = Slice { offset: 0, limit: 10 };
    let found = stores.runs.search_runs(&OrganisationId::first(), &[0], View::Active, &filter, &orders, slice).await.unwrap();
    assert!(found.len() <= 1);
    !found.is_empty()
}

#[test]
fn any_text_is_only_compared() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let sqlite = runtime.block_on(Sqlite::open(folder.path())).unwrap();
    let stores = sqlite.stores();
    let org = OrganisationId::first();
    let new =
        NewRun { id: "r".into(), experiment: 0, name: "n".into(), user: String::new(), start_ms: 1, tags: vec![Pair::new(NAME_TAG, "n")] };
    runtime.block_on(async {
        stores.experiments.ensure_default_experiment(&org, 1).await.unwrap();
        stores.runs.create_run(&org, &new).await.unwrap();
    });
    let mut runner = TestRunner::new(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() });
    let outcome = runner.run(&(text(), text()), |(value, asked)| {
        runtime.block_on(async {
            let batch = LogBatch { tags: vec![Pair::new("t", value.clone())], ..LogBatch::default() };
            stores.runs.log(&org, "r", batch).await.unwrap();
            let quoted = format!("'{}'", asked.replace('\'', "''"));
            for (comparison, expected) in [
                ("=", value == asked),
                ("!=", value != asked),
                ("LIKE", like(&chars(&asked), &chars(&value))),
                ("ILIKE", like(&lower(&asked), &lower(&value))),
            ] {
                let filter = format!("tags.t {comparison} {quoted}");
                prop_assert_eq!(found(&stores, &filter).await, expected, "{:?} {}", value, filter);
            }
            prop_assert_eq!(found(&stores, &format!("tags.t IN ({quoted}, 'other')")).await, value == asked);
            let key = asked.replace('"', "");
            let absent = format!("tags.\"{key}\" IS NULL AND tags.t IS NOT NULL");
            prop_assert!(key.is_empty() || found(&stores, &absent).await, "{}", absent);
            Ok(())
        })
    });
    outcome.unwrap();
    runtime.block_on(sqlite.close());
}
