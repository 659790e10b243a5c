//! From what the parser makes of a text to what a condition may be: no loops, no functions but some, and a number in place of
//! each name of a value.

use cel::common::ast::{CallExpr, Expr, IdedExpr, ListExpr, LiteralValue, SelectExpr, operators};
use edgeflow_wire::Step;

use super::{MAX_DEPTH, MAX_PARTS, Reference};

/// Operators, with how many operands they have.
const OPERATORS: [(&str, usize); 16] = [
    (operators::CONDITIONAL, 3),
    (operators::LOGICAL_AND, 2),
    (operators::LOGICAL_OR, 2),
    (operators::LOGICAL_NOT, 1),
    (operators::NEGATE, 1),
    (operators::ADD, 2),
    (operators::SUBSTRACT, 2),
    (operators::MULTIPLY, 2),
    (operators::DIVIDE, 2),
    (operators::MODULO, 2),
    (operators::EQUALS, 2),
    (operators::NOT_EQUALS, 2),
    (operators::LESS, 2),
    (operators::LESS_EQUALS, 2),
    (operators::GREATER, 2),
    (operators::GREATER_EQUALS, 2),
];
/// Functions of one value.
const CONVERSIONS: [&str; 4] = ["int", "double", "string", "size"];
/// Functions of a string that are called on it.
const OF_TEXT: [&str; 3] = ["contains", "startsWith", "endsWith"];
/// Functions behind `math.`, of one number.
const MATH: [&str; 10] = ["abs", "sign", "sqrt", "floor", "ceil", "round", "trunc", "isNaN", "isInf", "isFinite"];

/// Name of the value of this number.
pub(super) fn variable(at: usize) -> String {
    format!("@{at}")
}

/// The condition, and what it names.
pub(super) fn lower(parsed: IdedExpr) -> Result<(IdedExpr, Vec<Reference>), String> {
    let mut lowering = Lowering { references: Vec::new(), parts: 0 };
    let expression = lowering.lower(parsed, 0)?;
    Ok((expression, lowering.references))
}

struct Lowering {
    references: Vec<Reference>,
    parts: usize,
}

impl Lowering {
    fn lower(&mut self, part: IdedExpr, depth: usize) -> Result<IdedExpr, String> {
        self.parts += 1;
        if depth > MAX_DEPTH || self.parts > MAX_PARTS {
            return Err(format!("it has more than {MAX_PARTS} parts, or they lie deeper than {MAX_DEPTH} in each other: make it simpler"));
        }
        let IdedExpr { id, expr } = part;
        let expr = match expr {
            Expr::Literal(LiteralValue::Bytes(_) | LiteralValue::UInt(_) | LiteralValue::Null) => {
                return Err("values are true, false, numbers (2, 2.5) and strings".to_owned());
            }
            Expr::Literal(literal) => Expr::Literal(literal),
            Expr::Ident(_) | Expr::Select(SelectExpr { test: false, .. }) => self.reference(&expr)?,
            Expr::Call(call) if call.func_name == operators::INDEX => self.reference(&Expr::Call(call))?,
            Expr::Call(call) => Expr::Call(self.call(call, depth)?),
            Expr::Comprehension(_) => {
                return Err("there is no all, exists, map or filter: let the reduce of a watch make one value of many".to_owned());
            }
            Expr::Select(_) => return Err("there is no has(): a condition is looked at when all that it names is known".to_owned()),
            Expr::List(_) => return Err("a list stands only behind in: mode in [\"AUTO\", \"MANUAL\"]".to_owned()),
            Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => return Err("there are no maps and messages to be made".to_owned()),
        };
        Ok(IdedExpr { id, expr })
    }

    fn all(&mut self, parts: Vec<IdedExpr>, depth: usize) -> Result<Vec<IdedExpr>, String> {
        parts.into_iter().map(|part| self.lower(part, depth + 1)).collect()
    }

    fn call(&mut self, call: CallExpr, depth: usize) -> Result<CallExpr, String> {
        let CallExpr { func_name, target, args } = call;
        let name = func_name.as_str();
        let unknown = || format!("there is no function {name:?}: see the list in the documentation of triggers");
        let many = |wanted: usize| format!("{name} takes {wanted} value(s), not {}", args.len());
        let target = match target {
            None if name == operators::IN => {
                let [needle, list] = <[IdedExpr; 2]>::try_from(args).map_err(|_| unknown())?;
                let Expr::List(ListExpr { elements, optional_indices }) = list.expr else {
                    return Err("behind in stands a list: mode in [\"AUTO\", \"MANUAL\"]".to_owned());
                };
                if !optional_indices.is_empty() {
                    return Err(unknown());
                }
                let needle = self.lower(needle, depth + 1)?;
                let elements = self.all(elements, depth + 1)?;
                let list = IdedExpr { id: list.id, expr: Expr::List(ListExpr::new(elements)) };
                return Ok(CallExpr { target: None, func_name, args: vec![needle, list] });
            }
            None => {
                let operands = OPERATORS.iter().find(|(operator, _)| *operator == name).map(|(_, operands)| *operands);
                let wanted = operands.or_else(|| CONVERSIONS.contains(&name).then_some(1)).ok_or_else(unknown)?;
                if args.len() != wanted {
                    return Err(many(wanted));
                }
                None
            }
            Some(target) if target.expr == Expr::Ident("math".to_owned()) => {
                if !MATH.contains(&name) {
                    return Err(unknown());
                }
                if args.len() != 1 {
                    return Err(many(1));
                }
                Some(target)
            }
            Some(target) => {
                if !OF_TEXT.contains(&name) {
                    return Err(unknown());
                }
                if args.len() != 1 {
                    return Err(many(1));
                }
                Some(Box::new(self.lower(*target, depth + 1)?))
            }
        };
        let args = self.all(args, depth)?;
        Ok(CallExpr { target, func_name, args })
    }

    /// The number of what is named here.
    fn reference(&mut self, named: &Expr) -> Result<Expr, String> {
        let reference = path(named)?;
        let at = self.references.iter().position(|known| *known == reference).unwrap_or_else(|| {
            self.references.push(reference);
            self.references.len() - 1
        });
        Ok(Expr::Ident(variable(at)))
    }
}

/// The way that is written here, not by recursion: it is as long as the text lets it be.
fn path(named: &Expr) -> Result<Reference, String> {
    let mut steps = Vec::new();
    let mut at = named;
    let variable = loop {
        match at {
            Expr::Ident(name) => break name.clone(),
            Expr::Select(SelectExpr { operand, field, test: false }) => {
                steps.push(Step::Field(field.clone()));
                at = &operand.expr;
            }
            Expr::Call(CallExpr { target: None, func_name, args }) if func_name == operators::INDEX => {
                let [operand, index] = args.as_slice() else { return Err("an index stands behind a field".to_owned()) };
                steps.push(match &index.expr {
                    Expr::Literal(LiteralValue::Int(index)) => {
                        Step::At(usize::try_from(*index.inner()).map_err(|_| "an index counts from 0".to_owned())?)
                    }
                    // Of what has names that could not stand behind a dot.
                    Expr::Literal(LiteralValue::String(name)) => Step::Field(name.inner().to_owned()),
                    _ => return Err("an index is a number: cell_voltage[0]".to_owned()),
                });
                at = &operand.expr;
            }
            _ => return Err("a field stands behind the variable of a message: battery.percentage".to_owned()),
        }
    };
    if steps.len() > MAX_DEPTH {
        return Err(format!("a name has more than {MAX_DEPTH} parts"));
    }
    steps.reverse();
    Ok(Reference { variable, path: steps })
}
