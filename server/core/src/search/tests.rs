use super::*;
use crate::search::Attribute;
use proptest::prelude::*;

const RUN: Grammar = Grammar {
    entity: "run",
    attributes: &[
        Attribute::text("run_name", &["run name", "Run name"]),
        Attribute::text("status", &[]),
        Attribute::number("start_time", &["created"]),
    ],
    scopes: &[Scope::Metric, Scope::Param, Scope::Tag, Scope::Dataset],
    sortable: &["run_name", "start_time"],
};

fn read(text: &str) -> Vec<Condition> {
    Filter::parse(text, &RUN).unwrap_or_else(|error| panic!("{text}: {error}")).conditions
}

fn one(text: &str) -> (Field, Test) {
    let [only] = read(text).try_into().unwrap();
    let Condition { field, test } = only;
    (field, test)
}

fn text(value: &str) -> Test {
    Test::Text { negated: false, value: value.into() }
}

fn number(comparison: Comparison, value: f64) -> Test {
    Test::Number { comparison, value }
}

#[test]
fn every_kind_of_field_is_read_however_it_is_quoted() {
    for metric in ["metrics.a_b", "metric.a_b", "metrics.\"a_b\"", "metrics.`a_b`"] {
        assert_eq!(one(&format!("{metric} <= -1.5e3")), (Field::Metric("a_b".into()), number(Comparison::LessOrEqual, -1500.0)));
    }
    assert_eq!(one("params.\"learning rate\" = '0.1'"), (Field::Param("learning rate".into()), text("0.1")));
    assert_eq!(one("tags.mlflow.source.name = \"x\""), (Field::Tag("mlflow.source.name".into()), text("x")));
    assert_eq!(one("tag.`a\"b` != 'it''s'"), (Field::Tag("a\"b".into()), Test::Text { negated: true, value: "it's".into() }));
    for status in ["status", "attributes.status", "attr.status", "run.status", "attribute.`status`", "\"status\"", "`status`"] {
        let (field, test) = one(&format!("{status} = 'FINISHED'"));
        assert!(matches!(field, Field::Attribute(attribute) if attribute.name == "status"), "{status}");
        assert_eq!(test, text("FINISHED"));
    }
    assert!(matches!(one("attributes.\"Run name\" = 'a'").0, Field::Attribute(attribute) if attribute.name == "run_name"));
    assert_eq!(one("dataset.digest = 'd'").0, Field::Dataset("digest"));
}

#[test]
fn every_comparison_is_read() {
    for (sign, comparison) in [
        ("=", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<", Comparison::Less),
        ("<=", Comparison::LessOrEqual),
        (">", Comparison::Greater),
        (">=", Comparison::GreaterOrEqual),
    ] {
        assert_eq!(one(&format!("metrics.m{sign}1")).1, number(comparison, 1.0), "{sign}");
    }
    assert_eq!(one("tags.t like 'a%'").1, Test::Like { pattern: "a%".into(), ignore_case: false });
    assert_eq!(one("tags.t ILIKE 'a%'").1, Test::Like { pattern: "a%".into(), ignore_case: true });
    assert_eq!(one("run_name IN ('a', \"b\",)").1, Test::OneOf { negated: false, values: vec!["a".into(), "b".into()] });
    assert_eq!(one("run_name not in ('a')").1, Test::OneOf { negated: true, values: vec!["a".into()] });
    assert_eq!(one("params.p IS NULL").1, Test::Null { negated: false });
    assert_eq!(one("params.p is not null").1, Test::Null { negated: true });
}

#[test]
fn conditions_are_joined_and_nothing_holds_of_everything() {
    assert_eq!(read("metrics.a > 1 AND (params.b = 'and') and tags.c LIKE '% AND %'").len(), 3);
    assert!(read("  \n").is_empty());
}

#[test]
fn what_does_not_read_points_at_the_place() {
    for (filter, at, says) in [
        ("metrics.a >", 12, "a number"),
        ("metrics.a > '1'", 13, "without quotes"),
        ("metrics.a LIKE 'x'", 11, "compared with"),
        ("params.a > 'x'", 10, "=, !=, LIKE"),
        ("params.a = x", 12, "in quotes"),
        ("params.a = 3", 12, "in quotes"),
        ("colour.a = 'x'", 1, "before the dot"),
        ("colour = 'x'", 1, "they have run_name, status, start_time"),
        ("metrics.a > 1 OR metrics.b > 1", 15, "no OR"),
        ("metrics.a > 1 AND", 18, "name"),
        ("params.a = 'x", 12, "never closed"),
        ("metrics. > 1", 9, "after the dot"),
        ("metrics.a > 1.2.3", 13, "no number"),
        ("run_name IN ()", 14, "in quotes"),
        ("datasets.colour = 'x'", 1, "datasets.digest"),
        ("é = ?", 5, "begins nothing"),
    ] {
        let error = Filter::parse(filter, &RUN).unwrap_err();
        assert!(error.at == at && error.to_string().contains(says), "{filter}: {error}");
    }
}

#[test]
fn orders_are_read() {
    let order = |text: &str| Order::parse(text, &RUN).map(|order| (order.field, order.descending));
    assert_eq!(order("metrics.`a b` desc").unwrap(), (Field::Metric("a b".into()), true));
    assert_eq!(order("params.x ASC").unwrap(), (Field::Param("x".into()), false));
    assert!(matches!(order("created").unwrap(), (Field::Attribute(attribute), false) if attribute.name == "start_time"));
    for bad in ["", "metrics.a DESC, metrics.b", "datasets.name", "status", "metrics.a UP", "nothing"] {
        assert!(order(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_filter_that_would_take_forever_is_refused() {
    assert!(Filter::parse(&["metrics.a > 1"; MAX_CONDITIONS + 1].join(" AND "), &RUN).is_err());
    assert!(Filter::parse(&format!("tags.a LIKE '{}'", "%a".repeat(MAX_WILDCARDS + 1)), &RUN).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}") {
        let _ = Filter::parse(&text, &RUN);
        let _ = Order::parse(&text, &RUN);
    }

    #[test]
    fn words_in_any_order_do_not_make_it_panic(words in proptest::collection::vec(proptest::sample::select(vec![
        "metrics.a", "params.`b c`", "tags.\"d\"", "status", "=", "!=", "<", ">=", "LIKE", "IN", "(", ")", ",", "'x'", "\"y\"", "1",
        "-2.5e-3", "AND", "NOT", "IS", "NULL", "'", "`", ".", "DESC", ";",
    ]), 0..12)) {
        let text = words.join(" ");
        if let Err(error) = Filter::parse(&text, &RUN) {
            prop_assert!(error.at <= text.chars().count() + 1, "{error}");
        }
    }

    #[test]
    fn any_text_in_quotes_is_read_back(key in "[^\"]{1,20}", value in "\\PC{0,20}") {
        let filter = format!("params.\"{key}\" = '{}'", value.replace('\'', "''"));
        prop_assert_eq!(one(&filter), (Field::Param(key), Test::Text { negated: false, value }));
    }
}
