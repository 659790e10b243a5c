//! Default values as rosidl installs them: Python's text of the value beside a field's description (`True`, `(1, 2)`, a string as it
//! is), or what an interface file has behind the name. No hash covers them, so they are taken from installed files only: what a
//! node tells of its types cannot be told from a lie here.

use super::{Array, Element, FieldDescription, value};
use serde_json::Value;

/// The default of a field as JSON text, or none where the text is empty.
///
/// # Errors
/// Why the text is no value of the field.
pub(super) fn json(text: &str, field: &FieldDescription) -> Result<Option<String>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || format!("default {text:?} is no value of its type");
    let value = match field.array {
        Array::Single => single(text, field.ty),
        _ => {
            let inner = text.strip_prefix(['(', '[']).and_then(|text| text.strip_suffix([')', ']'])).ok_or_else(wrong)?;
            let items = items(inner).ok_or_else(wrong)?;
            items.iter().map(|item| element(item, field.ty)).collect::<Option<_>>().map(Value::Array)
        }
    };
    let value = field.complete(&value.ok_or_else(wrong)?, field.name).map_err(|error| error.to_string())?;
    Ok(Some(value.to_string()))
}

/// What an interface file has behind a field's name, as a description would have it; `string` for a single one, whose quotes are
/// not part of it. As for rosidl, a comment begins at the first `#`, even inside quotes.
pub(super) fn of_file(behind: &str, string: bool) -> String {
    let text = behind.split('#').next().unwrap_or_default().trim();
    let quote = text.chars().next().filter(|char| string && matches!(char, '"' | '\''));
    match quote.and_then(|quote| Some((quote, text.strip_prefix(quote)?.strip_suffix(quote)?))) {
        Some((quote, inner)) => inner.replace(&format!("\\{quote}"), &quote.to_string()),
        None => text.to_owned(),
    }
}

fn single(text: &str, ty: Element) -> Option<Value> {
    match ty {
        Element::String => Some(Value::from(text)),
        Element::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Some(Value::from(true)),
            "false" | "0" => Some(Value::from(false)),
            _ => None,
        },
        Element::Float32 | Element::Float64 => text.parse().ok().map(value::to_json),
        Element::Message(_) => None,
        _ => integer(text),
    }
}

/// In any base that Python reads.
fn integer(text: &str) -> Option<Value> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let magnitude = match lower.split_at_checked(2) {
        Some(("0x", digits)) => i128::from_str_radix(digits, 16),
        Some(("0o", digits)) => i128::from_str_radix(digits, 8),
        Some(("0b", digits)) => i128::from_str_radix(digits, 2),
        _ => lower.parse(),
    };
    let value = sign * magnitude.ok().filter(|magnitude| *magnitude >= 0)?;
    u64::try_from(value).map(Value::from).or_else(|_| i64::try_from(value).map(Value::from)).ok()
}

fn element(item: &str, ty: Element) -> Option<Value> {
    let quoted = item.strip_prefix(['"', '\'']).and_then(|text| text.strip_suffix(['"', '\'']));
    match (ty, quoted) {
        (Element::String, Some(inner)) => unescaped(inner).map(Value::from),
        _ => single(item, ty),
    }
}

/// What the commas divide, of which one may stand behind the last; those in quotes divide nothing.
fn items(text: &str) -> Option<Vec<&str>> {
    let (mut items, mut from, mut quote, mut escaped) = (Vec::new(), 0, None, false);
    for (at, char) in text.char_indices() {
        match (quote, char) {
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), _) if char == open => quote = None,
            (None, '"' | '\'') => quote = Some(char),
            (None, ',') => {
                items.push(text.get(from..at)?.trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    let last = text.get(from..)?.trim();
    if !last.is_empty() {
        items.push(last);
    }
    quote.is_none().then_some(items)
}

/// A string without Python's escapes.
fn unescaped(text: &str) -> Option<String> {
    let (mut out, mut chars) = (String::new(), text.chars());
    while let Some(char) = chars.next() {
        if char != '\\' {
            out.push(char);
            continue;
        }
        let digits = match chars.next()? {
            'n' => {
                out.push('\n');
                continue;
            }
            't' => {
                out.push('\t');
                continue;
            }
            'r' => {
                out.push('\r');
                continue;
            }
            'x' => 2,
            'u' => 4,
            'U' => 8,
            other => {
                out.push(other);
                continue;
            }
        };
        let code: String = chars.by_ref().take(digits).collect();
        out.push(char::from_u32(u32::from_str_radix(&code, 16).ok()?)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn field(ty: Element, array: Array) -> FieldDescription {
        FieldDescription { name: "f", ty, array, string_bound: None, default: None }
    }

    #[test]
    fn what_rosidl_writes_is_read() {
        let any = Array::Unbounded;
        for (text, ty, array, wanted) in [
            ("True", Element::Bool, Array::Single, json!(true)),
            ("-50", Element::Int8, Array::Single, json!(-50)),
            ("18446744073709551615", Element::Uint64, Array::Single, json!(u64::MAX)),
            ("0x10", Element::Int32, Array::Single, json!(16)),
            ("1", Element::Float64, Array::Single, json!(1.0)),
            ("1e+300", Element::Float64, Array::Single, json!(1e300)),
            ("nan", Element::Float32, Array::Single, json!(".nan")),
            ("Hello\"world!", Element::String, Array::Single, json!("Hello\"world!")),
            ("(False, True, False)", Element::Bool, Array::Fixed(3), json!([false, true, false])),
            ("(1.125, 0.0, -1.125)", Element::Float32, any, json!([1.125, 0.0, -1.125])),
            ("(0, -9223372036854775808)", Element::Int64, any, json!([0, i64::MIN])),
            ("('', 'max, value', \"it's\")", Element::String, any, json!(["", "max, value", "it's"])),
            ("('a\\\\b\\n', 'h\\xf6re')", Element::String, any, json!(["a\\b\n", "höre"])),
            ("(7,)", Element::Uint8, any, json!([7])),
            ("[]", Element::Uint8, any, json!([])),
        ] {
            let read = super::json(text, &field(ty, array)).unwrap().unwrap();
            assert_eq!(serde_json::from_str::<Value>(&read).unwrap(), wanted, "{text}");
        }
        assert_eq!(super::json("", &field(Element::String, Array::Single)), Ok(None));
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (text, ty, array) in [
            ("yes", Element::Bool, Array::Single),
            ("256", Element::Uint8, Array::Single),
            ("-0x", Element::Int8, Array::Single),
            ("--1", Element::Int8, Array::Single),
            ("1.5.2", Element::Float32, Array::Single),
            ("1", Element::Int8, Array::Unbounded),
            ("(1, 2)", Element::Int8, Array::Fixed(3)),
            ("('a)", Element::String, Array::Unbounded),
            ("x", Element::Message("std_msgs/msg/Header"), Array::Single),
        ] {
            assert!(super::json(text, &field(ty, array)).is_err(), "{text}");
        }
    }

    #[test]
    fn quotes_and_comments_of_a_file_are_taken_away() {
        for (behind, string, wanted) in [
            (" 7  # seven", false, "7"),
            ("", false, ""),
            ("\"Hello \\\"world\\\"\"", true, "Hello \"world\""),
            ("'it is' # so", true, "it is"),
            ("plain words", true, "plain words"),
            ("[\"a\", \"b\"]", false, "[\"a\", \"b\"]"),
        ] {
            assert_eq!(of_file(behind, string), wanted);
        }
    }
}
