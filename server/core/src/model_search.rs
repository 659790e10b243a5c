//! Searching models and versions. There are thousands of them at most, so they are read and judged here.

use std::cmp::Ordering;

use crate::{
    model::{Model, ModelVersion, Tags},
    search::{Attribute, Comparison, Condition, Field, Filter, Grammar, Order, Scope, Test},
};

/// What models can be searched by.
pub const MODELS: Grammar = Grammar {
    entity: "registered model",
    attributes: &[
        Attribute::text("name", &[]),
        Attribute::number("creation_timestamp", &[]),
        Attribute::number("last_updated_timestamp", &["timestamp"]),
    ],
    scopes: &[Scope::Tag],
    sortable: &["name", "creation_timestamp", "last_updated_timestamp"],
};

/// What versions can be searched by.
pub const VERSIONS: Grammar = Grammar {
    entity: "model version",
    attributes: &[
        Attribute::text("name", &[]),
        Attribute::text("run_id", &[]),
        Attribute::text("source_path", &["source"]),
        Attribute::text("current_stage", &["stage"]),
        Attribute::number("version_number", &[]),
        Attribute::number("creation_timestamp", &[]),
        Attribute::number("last_updated_timestamp", &[]),
    ],
    scopes: &[Scope::Tag],
    sortable: &["name", "version_number", "creation_timestamp", "last_updated_timestamp"],
};

/// The tag by which MLflow's clients tell prompts, which they keep as models, from models.
const PROMPT: &str = "mlflow.prompt.is_prompt";

/// What can be found by a search.
trait Found {
    fn text(&self, attribute: &str) -> Option<String>;
    fn number(&self, attribute: &str) -> Option<f64>;
    fn tags(&self) -> &Tags;
}

#[allow(clippy::cast_precision_loss, reason = "times and numbers of versions are below 2^53")]
fn millis(at_us: i64) -> f64 {
    (at_us / 1000) as f64
}

impl Found for Model {
    fn text(&self, attribute: &str) -> Option<String> {
        (attribute == "name").then(|| self.name.to_string())
    }

    fn number(&self, attribute: &str) -> Option<f64> {
        match attribute {
            "creation_timestamp" => Some(millis(self.created_at_us)),
            "last_updated_timestamp" => Some(millis(self.updated_at_us)),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }
}

impl Found for ModelVersion {
    fn text(&self, attribute: &str) -> Option<String> {
        let registered = &self.registered;
        match attribute {
            "name" => Some(registered.model.to_string()),
            "run_id" => registered.origin.run_id.clone(),
            "source_path" => Some(registered.origin.source.clone()),
            "current_stage" => Some(self.stage.to_string()),
            _ => None,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "times and numbers of versions are below 2^53")]
    fn number(&self, attribute: &str) -> Option<f64> {
        match attribute {
            "version_number" => Some(self.number as f64),
            "creation_timestamp" => Some(millis(self.registered.created_at_us)),
            "last_updated_timestamp" => Some(millis(self.updated_at_us)),
            _ => None,
        }
    }

    fn tags(&self) -> &Tags {
        &self.registered.tags
    }
}

/// The models that a filter holds of, sorted: by name at last. Prompts are only found by a filter that speaks of them.
pub fn models(mut all: Vec<Model>, filter: &Filter, order: &[Order]) -> Vec<Model> {
    let prompts = filter.conditions.iter().any(|condition| condition.field == Field::Tag(PROMPT.to_owned()));
    all.retain(|model| holds(model, filter) && (prompts || model.tags.get(PROMPT).is_none_or(|value| value != "true")));
    all.sort_by(|a, b| compare(a, b, order).then_with(|| a.name.cmp(&b.name)));
    all
}

/// The versions that a filter holds of, sorted: by name and newest first at last.
pub fn versions(mut all: Vec<ModelVersion>, filter: &Filter, order: &[Order]) -> Vec<ModelVersion> {
    all.retain(|version| holds(version, filter));
    all.sort_by(|a, b| {
        let last = || a.registered.model.cmp(&b.registered.model).then_with(|| b.number.cmp(&a.number));
        compare(a, b, order).then_with(last)
    });
    all
}

fn compare<T: Found>(a: &T, b: &T, order: &[Order]) -> Ordering {
    for Order { field, descending } in order {
        let Field::Attribute(attribute) = field else { continue };
        let numbers = a.number(attribute.name).zip(b.number(attribute.name));
        let ordering = numbers
            .map_or_else(|| a.text(attribute.name).cmp(&b.text(attribute.name)), |(a, b)| a.partial_cmp(&b).unwrap_or(Ordering::Equal));
        if ordering != Ordering::Equal {
            return if *descending { ordering.reverse() } else { ordering };
        }
    }
    Ordering::Equal
}

fn holds<T: Found>(thing: &T, filter: &Filter) -> bool {
    filter.conditions.iter().all(|condition| condition_holds(thing, condition))
}

fn condition_holds<T: Found>(thing: &T, condition: &Condition) -> bool {
    let text = match &condition.field {
        Field::Attribute(attribute) => {
            if let Test::Number { comparison, value } = &condition.test {
                return thing.number(attribute.name).is_some_and(|number| number_holds(number, *comparison, *value));
            }
            thing.text(attribute.name)
        }
        Field::Tag(key) => match thing.tags().get(key) {
            // What is no prompt has no such tag, and is none.
            None if key == PROMPT => Some("false".to_owned()),
            tag => tag.cloned(),
        },
        Field::Metric(_) | Field::Param(_) | Field::Dataset(_) => None,
    };
    match (&condition.test, text) {
        (Test::Null { negated }, text) => text.is_some() == *negated,
        (_, None) => false,
        (Test::Text { negated, value }, Some(text)) => (text == *value) != *negated,
        (Test::OneOf { negated, values }, Some(text)) => values.contains(&text) != *negated,
        (Test::Like { pattern, ignore_case: false }, Some(text)) => like(pattern, &text),
        (Test::Like { pattern, ignore_case: true }, Some(text)) => like(&pattern.to_lowercase(), &text.to_lowercase()),
        (Test::Number { .. }, Some(_)) => false,
    }
}

fn number_holds(number: f64, comparison: Comparison, value: f64) -> bool {
    match comparison {
        Comparison::Equal => number.total_cmp(&value).is_eq(),
        Comparison::NotEqual => number.total_cmp(&value).is_ne(),
        Comparison::Less => number < value,
        Comparison::LessOrEqual => number <= value,
        Comparison::Greater => number > value,
        Comparison::GreaterOrEqual => number >= value,
    }
}

/// Whether `text` has the shape `pattern`: `%` is any text, `_` any one character. Goes back to the last `%` only, so that no
/// pattern takes longer than their lengths multiplied.
fn like(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                back = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == '_' || text.get(t) == Some(&wanted) => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == '%')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelName, model::NewModelVersion, model::Origin, model::Stage};

    fn model(name: &str, updated_at_us: i64, tags: &[(&str, &str)]) -> Model {
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Model { updated_at_us, tags, ..Model::new(ModelName::new(name).unwrap(), 1, String::new()) }
    }

    fn found(filter: &str, order: &[&str]) -> Vec<String> {
        let all = vec![
            model("reader", 3_000, &[("team", "vision"), ("note", "a_b")]),
            model("Reader 2", 1_000, &[("team", "nav")]),
            model("pilot", 2_000, &[]),
            model("greeting", 9_000, &[(PROMPT, "true")]),
        ];
        let (filter, order) = (Filter::parse(filter, &MODELS).unwrap(), Order::parse_all(order, &MODELS).unwrap());
        models(all, &filter, &order).into_iter().map(|model| model.name.to_string()).collect()
    }

    #[test]
    fn models_are_found_by_name_and_tag_and_prompts_only_as_such() {
        assert_eq!(found("", &[]), ["Reader 2", "pilot", "reader"]);
        assert_eq!(found("name LIKE 'read%'", &[]), ["reader"]);
        assert_eq!(found("name ILIKE '%READ_r%'", &[]), ["Reader 2", "reader"]);
        assert_eq!(found("tags.team = 'vision'", &[]), ["reader"]);
        assert_eq!(found("tags.team != 'vision'", &[]), ["Reader 2"], "one without the tag is not another");
        assert_eq!(found("tags.`mlflow.prompt.is_prompt` = 'true'", &[]), ["greeting"]);
        assert_eq!(found("tags.`mlflow.prompt.is_prompt` != 'true'", &["last_updated_timestamp DESC"]), ["reader", "pilot", "Reader 2"]);
        assert_eq!(found("", &["name DESC"]), ["reader", "pilot", "Reader 2"]);
    }

    #[test]
    fn versions_are_found_by_run_and_number() {
        let version = |model: &str, number: u64, run_id: Option<&str>| ModelVersion {
            number,
            registered: NewModelVersion {
                model: ModelName::new(model).unwrap(),
                bundle: None,
                note: String::new(),
                origin: Origin { run_id: run_id.map(str::to_owned), ..Origin::default() },
                description: String::new(),
                tags: Tags::new(),
                created_at_us: 1,
                created_by: String::new(),
            },
            stage: Stage::None,
            aliases: Vec::new(),
            updated_at_us: 1,
        };
        let all = vec![version("b", 1, Some("r1")), version("a", 1, None), version("a", 2, Some("r2")), version("a", 10, Some("r1"))];
        let found = |filter: &str, order: &[&str]| {
            let (filter, order) = (Filter::parse(filter, &VERSIONS).unwrap(), Order::parse_all(order, &VERSIONS).unwrap());
            let found = versions(all.clone(), &filter, &order).into_iter();
            found.map(|version| format!("{}{}", version.registered.model, version.number)).collect::<Vec<_>>()
        };
        assert_eq!(found("", &[]), ["a10", "a2", "a1", "b1"]);
        assert_eq!(found("run_id = 'r1'", &[]), ["a10", "b1"]);
        assert_eq!(found("run_id IN ('r1', 'r2') AND name = 'a'", &["version_number ASC"]), ["a2", "a10"]);
        assert_eq!(found("version_number >= 2", &[]), ["a10", "a2"]);
    }

    #[test]
    fn shapes_of_texts() {
        for (pattern, text, is) in [
            ("%", "", true),
            ("a%", "abc", true),
            ("%c", "abc", true),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("%a%a%", "banana", true),
            ("%x%", "banana", false),
            ("", "a", false),
            ("é_", "éa", true),
        ] {
            assert_eq!(like(pattern, text), is, "{pattern} {text}");
        }
    }
}
