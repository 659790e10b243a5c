#![allow(clippy::panic)]
use super::*;
use proptest::prelude::*;

fn battery(reference: &Reference) -> Result<Type, String> {
    match reference.to_string().as_str() {
        "battery.percentage" | "speed" | "battery.cell_voltage[1]" => Ok(Type::Float),
        "battery.status" | "n" => Ok(Type::Integer),
        "mode" => Ok(Type::Text),
        "battery.present" | "ok" => Ok(Type::Bool),
        other => Err(format!("{other} is not known")),
    }
}

fn holds(text: &str, values: &[Known]) -> Result<bool, String> {
    let condition = Condition::parse(text)?;
    condition.check(battery)?;
    condition.holds(values)
}

#[test]
fn what_a_roboticist_would_write_holds_or_not() {
    let percent = |value: f64| Known::Float(value);
    assert_eq!(holds("battery.percentage < 0.2 && speed > 0.1", &[percent(0.1), percent(0.5)]), Ok(true));
    assert_eq!(holds("battery.percentage < 0.2 && speed > 0.1", &[percent(0.3), percent(0.5)]), Ok(false));
    // The types of a number do not matter to a comparison.
    assert_eq!(holds("speed > 1 || battery.status == 3.0", &[percent(0.5), Known::Integer(3)]), Ok(true));
    assert_eq!(holds("mode in [\"AUTO\", \"MANUAL\"] && !ok", &[Known::Text("AUTO".into()), Known::Bool(false)]), Ok(true));
    assert_eq!(holds("mode.startsWith('ERR') && size(mode) > 3", &[Known::Text("ERROR".into())]), Ok(true));
    assert_eq!(holds("math.abs(speed) > 2.0 ? n > 3 : n % 2 == 1", &[percent(-2.5), Known::Integer(4)]), Ok(true));
    assert_eq!(holds("math.isNaN(speed)", &[percent(f64::NAN)]), Ok(true));
    assert_eq!(holds("!math.isNaN(speed) && speed < 1.0", &[percent(f64::NAN)]), Ok(false));
    assert_eq!(holds("battery.cell_voltage[1] * double(n) > 7.5", &[percent(3.8), Known::Integer(2)]), Ok(true));
    assert_eq!(holds("-n < -4", &[Known::Integer(5)]), Ok(true));
}

#[test]
fn what_it_names_is_told_once_each_in_order() {
    let condition = Condition::parse("b.x[3].y > a && b.x[3].y < 5 && a < 1").unwrap();
    let named: Vec<String> = condition.references().iter().map(ToString::to_string).collect();
    assert_eq!(named, ["b.x[3].y", "a"]);
    assert_eq!(condition.references()[0].path, [Step::Field("x".into()), Step::At(3), Step::Field("y".into())]);
}

#[test]
fn each_mistake_is_named() {
    for (text, reason) in [
        ("battery.percentage <", "column"),
        ("battery.percentage < 0.2 &&& ok", "column"),
        ("", "column"),
        ("1 < 2", "names no variable"),
        ("battery.percentge < 0.2", "battery.percentge is not known"),
        ("speed", "it is a double"),
        ("speed > \"fast\"", "> does not go with a double and a string"),
        ("ok < true", "< does not go with"),
        ("speed && ok", "&& wants true or false"),
        ("speed * 2 > 1.0", "does not mix an int and a double"),
        ("speed % 2.0 > 1.0", "% does not go with a double"),
        ("mode in [1, 2]", "never in a list"),
        ("mode in names", "behind in stands a list"),
        ("n == [1]", "a list stands only behind in"),
        ("[1, 2].exists(x, x == n)", "no all, exists"),
        ("has(battery.status)", "no has()"),
        ("battery.cells[n] > 1", "an index is a number"),
        ("battery.cells[-1] > 1", "from 0"),
        ("matches(mode, 'a+')", "no function \"matches\""),
        ("mode.matches('a+')", "no function \"matches\""),
        ("math.greatest(n, 2) > 1", "no function \"greatest\""),
        ("math.abs(n, 2) > 1", "abs takes 1"),
        ("n == 2u", "values are"),
        ("{'a': n} == {'a': 1}", "no maps"),
        ("(n > 1 ? 1 : 'a') == 1", "the two sides of :"),
        ("mode.contains(n)", "does not go with an int"),
        ("ok ? speed : 1.0", "it is a double"),
    ] {
        let error = Condition::parse(text).and_then(|condition| condition.check(battery)).expect_err(text);
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn what_cannot_be_computed_is_an_error_and_no_answer() {
    let zero = [Known::Integer(0)];
    assert!(holds("10 / n > 1", &zero).unwrap_err().to_lowercase().contains("division by zero"));
    assert!(holds("10 % n > 1", &zero).is_err());
    assert!(holds("n * n > 1", &[Known::Integer(i64::MAX)]).is_err(), "beyond 64 bits");
    assert_eq!(holds("speed < 1.0 || speed >= 1.0", &[Known::Float(f64::NAN)]), Err("speed is NaN".into()));
    assert!(holds("int(mode) > 1", &[Known::Text("x".into())]).is_err());
    // As the language has it: an error beside what decides by itself is none.
    assert_eq!(holds("10 / n > 1 && ok", &[Known::Integer(0), Known::Bool(false)]), Ok(false));
    assert!(Known::of(Reading::Integer(1 << 70)).is_err() && Known::of(Reading::Text(&"x".repeat(4_097))).is_err());
}

/// On a stack as small as a thread may have: what is too deep is refused, not a crash.
#[test]
fn hostile_text_is_refused_soon_and_on_a_small_stack() {
    let deep = |open: &str, inner: &str, close: &str| {
        let times = (MAX_CONDITION_BYTES - inner.len()) / (open.len() + close.len()).max(1);
        format!("{}{inner}{}", open.repeat(times), close.repeat(times))
    };
    let hostile = vec![
        deep("(", "n", ")"),
        deep("(n+", "n", ")"),
        deep("[", "n", "]"),
        deep("{1:", "n", "}"),
        deep("!", "n", ""),
        deep("!-", "n", ""),
        deep("-", "n", ""),
        deep("n?n:", "n", ""),
        deep("n?(", "n", "):n"),
        deep("n.", "n", ""),
        deep("n[0]", "", ""),
        deep("n[", "n", "]"),
        deep("n+", "n", ""),
        deep("n&&", "n", ""),
        deep("n||!", "n", ""),
        deep("n==", "n", ""),
        deep("f(", "n", ")"),
        deep("n.f(", "n", ")"),
        deep("n.f()", "", ""),
        deep("[n].map(n,", "n", ")"),
        deep("[n].exists(n,", "n", ")"),
        deep("a{b:", "n", "}"),
        deep("n in [", "n", "]"),
        deep("\"", "n", ""),
        deep("`", "n", ""),
        "x".repeat(1 << 20),
        "(".repeat(1 << 20),
    ];
    let began = std::time::Instant::now();
    let judge = move || {
        for text in &hostile {
            if let Ok(condition) = Condition::parse(text) {
                let values = vec![Known::Integer(1); condition.references().len()];
                drop(condition.holds(&values));
            }
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(judge).unwrap().join().unwrap();
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is written, an answer comes and nothing panics.
    #[test]
    fn any_text_is_judged(parts in prop::collection::vec(
        prop::sample::select(vec![
            "n", "a.b", "ok", "mode", "1", "2.5", "'s'", "true", "<", "==", "&&", "||", "!", "-", "+", "*", "/", "%", "(", ")", "[", "]", "{",
            "}", "?", ":", ",", ".", " in ", "math.abs", "size", "has", ".map", ".exists", "x", "\"", "\\", "1u", "null", "0x", "1e", "é", "//",
            "b'a'", "@0",
        ]),
        0..40,
    ), number in any::<i64>()) {
        let text = parts.concat();
        if let Ok(condition) = Condition::parse(&text) {
            for known in [Known::Integer(number), Known::Bool(true), Known::Text("s".into()), Known::Float(f64::NAN)] {
                drop(condition.holds(&vec![known; condition.references().len()]));
            }
        }
    }
}
