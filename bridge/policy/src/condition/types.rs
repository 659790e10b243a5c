//! Whether the parts of a condition fit each other, told before the first message comes.

use cel::common::ast::{CallExpr, Expr, IdedExpr, ListExpr, LiteralValue, operators};
use std::fmt;

/// What a value is. All of ROS's integers are integers of 64 bits here, and both of its floats of 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// True or false.
    Bool,
    /// An integer.
    Integer,
    /// A number with a fraction.
    Float,
    /// A string.
    Text,
    /// Not known yet: the type of the message is the robot's to look up.
    Any,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Bool => "a boolean",
            Type::Integer => "an int",
            Type::Float => "a double",
            Type::Text => "a string",
            Type::Any => "of any type",
        })
    }
}

impl Type {
    fn is(self, other: Type) -> bool {
        self == other || self == Type::Any
    }

    fn is_number(self) -> bool {
        matches!(self, Type::Integer | Type::Float | Type::Any)
    }

    /// Whether values of both can be compared.
    fn compares_with(self, other: Type) -> bool {
        self.is(other) || other == Type::Any || (self.is_number() && other.is_number())
    }
}

/// Type of a lowered expression; `named` are those of what it names.
pub(super) fn of(part: &IdedExpr, named: &[Type]) -> Result<Type, String> {
    match &part.expr {
        Expr::Literal(LiteralValue::Boolean(_)) => Ok(Type::Bool),
        Expr::Literal(LiteralValue::Int(_)) => Ok(Type::Integer),
        Expr::Literal(LiteralValue::Double(_)) => Ok(Type::Float),
        Expr::Literal(LiteralValue::String(_)) => Ok(Type::Text),
        Expr::Ident(name) => {
            let at = name.strip_prefix('@').and_then(|at| at.parse::<usize>().ok());
            Ok(at.and_then(|at| named.get(at)).copied().unwrap_or(Type::Any))
        }
        Expr::Call(call) => of_call(call, named),
        // Nothing else is left by lowering.
        _ => Ok(Type::Any),
    }
}

fn of_call(call: &CallExpr, named: &[Type]) -> Result<Type, String> {
    let name = call.func_name.as_str();
    if name == operators::IN {
        return of_in(call, named);
    }
    let given = call.args.iter().map(|part| of(part, named)).collect::<Result<Vec<_>, _>>()?;
    let sign = name.trim_matches('_');
    match (name, given.as_slice()) {
        (operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT, given) => {
            match given.iter().find(|one| !one.is(Type::Bool)) {
                Some(one) => Err(format!("{sign} wants true or false, and there is {one}")),
                None => Ok(Type::Bool),
            }
        }
        (operators::CONDITIONAL, [condition, yes, no]) => {
            if !condition.is(Type::Bool) {
                return Err(format!("before ? stands {condition}, which is neither true nor false"));
            }
            if !yes.is(*no) && *no != Type::Any {
                return Err(format!("the two sides of : are {yes} and {no}"));
            }
            Ok(if *yes == Type::Any { *no } else { *yes })
        }
        (operators::NEGATE, [one]) if one.is_number() => Ok(*one),
        (operators::EQUALS | operators::NOT_EQUALS, [a, b]) if a.compares_with(*b) => Ok(Type::Bool),
        (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS, [a, b])
            if a.compares_with(*b) && *a != Type::Bool && *b != Type::Bool =>
        {
            Ok(Type::Bool)
        }
        (operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO, [a, b]) => {
            arithmetic(name, sign, *a, *b)
        }
        ("int", [_]) => Ok(Type::Integer),
        ("double", [_]) => Ok(Type::Float),
        ("string", [_]) => Ok(Type::Text),
        ("size", [one]) if one.is(Type::Text) => Ok(Type::Integer),
        ("contains" | "startsWith" | "endsWith", [one]) if one.is(Type::Text) => {
            let target = call.target.as_ref().map_or(Ok(Type::Any), |target| of(target, named))?;
            if target.is(Type::Text) { Ok(Type::Bool) } else { Err(format!("{name} is of strings, and it is called on {target}")) }
        }
        ("abs" | "sign", [one]) if one.is_number() => Ok(*one),
        ("sqrt", [one]) if one.is_number() => Ok(Type::Float),
        ("floor" | "ceil" | "round" | "trunc", [one]) if one.is(Type::Float) => Ok(Type::Float),
        ("isNaN" | "isInf" | "isFinite", [one]) if one.is(Type::Float) => Ok(Type::Bool),
        (_, [a, b]) => Err(format!("{sign} does not go with {a} and {b}")),
        (_, given) => Err(format!("{sign} does not go with {}", given.first().copied().unwrap_or(Type::Any))),
    }
}

/// The language does not mix numbers here, unlike in comparisons.
fn arithmetic(name: &str, sign: &str, a: Type, b: Type) -> Result<Type, String> {
    let of = if a == Type::Any { b } else { a };
    let fits = match of {
        Type::Any | Type::Integer => true,
        Type::Float => name != operators::MODULO,
        Type::Text => name == operators::ADD,
        Type::Bool => false,
    };
    if a.is(b) || b == Type::Any {
        return if fits { Ok(of) } else { Err(format!("{sign} does not go with {of}")) };
    }
    if a.is_number() && b.is_number() {
        return Err(format!("{sign} does not mix an int and a double: write 2.0 for 2, or double(x)"));
    }
    Err(format!("{sign} does not go with {a} and {b}"))
}

fn of_in(call: &CallExpr, named: &[Type]) -> Result<Type, String> {
    let [needle, list] = call.args.as_slice() else { return Ok(Type::Any) };
    let needle = of(needle, named)?;
    if let Expr::List(ListExpr { elements, .. }) = &list.expr {
        for element in elements {
            let element = of(element, named)?;
            if !needle.compares_with(element) {
                return Err(format!("{needle} is never in a list with {element}"));
            }
        }
    }
    Ok(Type::Bool)
}
