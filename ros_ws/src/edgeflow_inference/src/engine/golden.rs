//! Runs a bundle's golden cases on the session that is about to serve, and says how far off it is. Also turns tensors as
//! people write them into the graph's.

use edgeflow_bundle::{GOLDEN_FILE, Golden, GoldenCase, GoldenData, GoldenTensor};
use half::{bf16, f16};
use serde_json::Number;

use crate::tensor::{Data, ElementType, Tensor, TensorSpec};
use crate::{Error, Result};

/// Checks every case. `run` computes the graph's outputs.
///
/// # Errors
/// [`Error::Golden`] with the first output that is off, and by how much; or the error of the run.
pub(super) fn check(golden: &Golden, inputs: &[TensorSpec], mut run: impl FnMut(&[Tensor]) -> Result<Vec<Tensor>>) -> Result<()> {
    for (i, case) in golden.cases.iter().enumerate() {
        let refuse = |reason: String| Error::Golden { case: case.label(i), reason };
        let tensors = case.inputs.iter().map(|given| input(given, inputs, GOLDEN_FILE)).collect::<Result<Vec<_>>>()?;
        let outputs = run(&tensors).map_err(|error| refuse(error.to_string()))?;
        for expected in &case.outputs {
            let got = outputs.iter().find(|tensor| tensor.name == expected.name);
            compare(case, expected, got).map_err(|reason| refuse(format!("output `{}` {reason}", expected.name)))?;
        }
    }
    Ok(())
}

/// A written tensor as the graph's input of its name; `file` is where it was written.
pub(super) fn input(given: &GoldenTensor, inputs: &[TensorSpec], file: &str) -> Result<Tensor> {
    let refuse = |reason: String| Error::Tensor { name: given.name.clone(), reason };
    let ty = inputs.iter().find(|spec| spec.name == given.name).and_then(|spec| spec.element_type);
    let ty = ty.ok_or_else(|| refuse(format!("{file} cannot feed it: it is no tensor")))?;
    let data = elements(&given.data, ty).ok_or_else(|| refuse(format!("{file} has elements that are no {ty}")))?;
    Tensor::new(given.name.clone(), given.shape.clone(), data)
}

/// The elements as a type; `None` when one does not fit it.
fn elements(data: &GoldenData, ty: ElementType) -> Option<Data> {
    let numbers = match data {
        GoldenData::Numbers(numbers) => numbers.as_slice(),
        GoldenData::Bools(v) if ty == ElementType::Bool => return Some(Data::Bool(v.clone())),
        GoldenData::Strings(v) if ty == ElementType::String => return Some(Data::String(v.clone())),
        GoldenData::Bools(v) if v.is_empty() => &[],
        _ => return None,
    };
    fn whole<T: TryFrom<i64>>(numbers: &[Number]) -> Option<Vec<T>> {
        numbers.iter().map(|n| T::try_from(n.as_i64()?).ok()).collect()
    }
    fn real<T>(numbers: &[Number], from: impl Fn(f64) -> T) -> Option<Vec<T>> {
        numbers.iter().map(|n| Some(from(n.as_f64()?))).collect()
    }
    Some(match ty {
        ElementType::F32 => Data::F32(real(numbers, |x| x as f32)?),
        ElementType::F64 => Data::F64(real(numbers, |x| x)?),
        ElementType::F16 => Data::F16(real(numbers, f16::from_f64)?),
        ElementType::BF16 => Data::BF16(real(numbers, bf16::from_f64)?),
        ElementType::U8 => Data::U8(whole(numbers)?),
        ElementType::I8 => Data::I8(whole(numbers)?),
        ElementType::U16 => Data::U16(whole(numbers)?),
        ElementType::I16 => Data::I16(whole(numbers)?),
        ElementType::U32 => Data::U32(whole(numbers)?),
        ElementType::I32 => Data::I32(whole(numbers)?),
        ElementType::U64 => Data::U64(numbers.iter().map(Number::as_u64).collect::<Option<_>>()?),
        ElementType::I64 => Data::I64(whole(numbers)?),
        ElementType::Bool | ElementType::String if numbers.is_empty() => Data::zeros(ty, 0),
        ElementType::Bool | ElementType::String => return None,
    })
}

fn compare(case: &GoldenCase, expected: &GoldenTensor, got: Option<&Tensor>) -> std::result::Result<(), String> {
    let got = got.ok_or("is not among those this node can read")?;
    if got.shape != expected.shape {
        return Err(format!("has shape {:?}, expected {:?}", got.shape, expected.shape));
    }
    let (want, have) = match (elements(&expected.data, got.data.element_type()), &got.data) {
        (Some(Data::String(want)), Data::String(have)) => return equal(&want, have),
        (Some(Data::Bool(want)), Data::Bool(have)) => return equal(&want, have),
        // As written, not as rounded to the output's type.
        (_, data) => match (&expected.data, data.to_f64()) {
            (GoldenData::Numbers(want), Some(have)) => (want.iter().filter_map(Number::as_f64).collect::<Vec<_>>(), have),
            _ => return Err(format!("is {}, which the expected elements are not", data.element_type())),
        },
    };
    let allowed = |want: f64| case.atol + case.rtol * want.abs();
    // NaN is off by more than anything.
    let off = |i: &usize| (have[*i] - want[*i]).abs().partial_cmp(&allowed(want[*i])).is_none_or(|o| o.is_gt());
    let wrong: Vec<usize> = (0..want.len().min(have.len())).filter(off).collect();
    let excess = |i: &usize| (have[*i] - want[*i]).abs() - allowed(want[*i]);
    let Some(worst) = wrong.iter().copied().max_by(|a, b| excess(a).total_cmp(&excess(b))) else { return Ok(()) };
    Err(format!(
        "is off in {} of {} elements; most of all element {worst}: {} instead of {}, off by {:e} where {:e} is allowed",
        wrong.len(),
        want.len(),
        have[worst],
        want[worst],
        (have[worst] - want[worst]).abs(),
        allowed(want[worst])
    ))
}

fn equal<T: PartialEq + std::fmt::Debug>(want: &[T], have: &[T]) -> std::result::Result<(), String> {
    match want.iter().zip(have).position(|(want, have)| want != have) {
        None => Ok(()),
        Some(i) => Err(format!("has element {i} {:?} instead of {:?}", have[i], want[i])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(data: &str) -> (GoldenCase, GoldenTensor) {
        let data: GoldenData = serde_json::from_str(data).unwrap();
        let tensor = GoldenTensor { name: "y".into(), shape: vec![2], data };
        (GoldenCase { name: String::new(), inputs: vec![], outputs: vec![tensor.clone()], atol: 0.0, rtol: 0.01 }, tensor)
    }

    fn verdict(expected: &str, got: Data) -> String {
        let (case, expected) = case(expected);
        let got = Tensor::new("y", vec![got.len() as i64], got).unwrap();
        compare(&case, &expected, Some(&got)).err().unwrap_or_default()
    }

    #[test]
    fn numbers_may_be_off_by_the_tolerance_and_no_more() {
        assert_eq!(verdict("[1, -100]", Data::F32(vec![1.009, -99.1])), "");
        let far = verdict("[1, -100]", Data::F32(vec![1.02, -90.0]));
        assert!(far.contains("off in 2 of 2 elements; most of all element 1: -90 instead of -100, off by 1e1 where 1e0"), "{far}");
        assert!(verdict("[1, 2]", Data::F64(vec![1.0, f64::NAN])).contains("element 1: NaN instead of 2"));
        assert_eq!(verdict("[1, 2]", Data::U8(vec![1, 2])), "");
        assert_eq!(verdict("[0.1, 0.2]", Data::F16(vec![f16::from_f32(0.1), f16::from_f32(0.2)])), "");
        assert!(verdict("[1, 2]", Data::I64(vec![1, 3])).contains("3 instead of 2"));
    }

    #[test]
    fn shapes_strings_and_truths_must_be_the_same() {
        assert!(verdict("[1, 2]", Data::F32(vec![1.0])).contains("has shape [1], expected [2]"));
        assert_eq!(verdict("[\"a\", \"b\"]", Data::String(vec!["a".into(), "b".into()])), "");
        assert!(verdict("[\"a\", \"b\"]", Data::String(vec!["a".into(), "c".into()])).contains("element 1 \"c\" instead of \"b\""));
        assert!(verdict("[true, false]", Data::Bool(vec![true, true])).contains("element 1 true instead of false"));
        assert!(verdict("[true, false]", Data::F32(vec![1.0, 0.0])).contains("is float32"));
    }

    #[test]
    fn elements_that_do_not_fit_the_type_are_refused() {
        let numbers = |text: &str| serde_json::from_str::<GoldenData>(text).unwrap();
        assert_eq!(elements(&numbers("[255]"), ElementType::U8), Some(Data::U8(vec![255])));
        assert_eq!(elements(&numbers("[256]"), ElementType::U8), None);
        assert_eq!(elements(&numbers("[1.5]"), ElementType::I32), None);
        assert_eq!(elements(&numbers("[18446744073709551615]"), ElementType::U64), Some(Data::U64(vec![u64::MAX])));
        assert_eq!(elements(&numbers("[]"), ElementType::String), Some(Data::String(vec![])));
    }
}
