//! A graph's inputs or its outputs: what they are called, how their values are moved, and what has to be cast on the way.

use ort::environment::Environment;
use ort::session::{SessionInputValue, SessionOutputs};
use ort::value::Outlet;

use super::cast::{self, Cast};
use super::values::{self, Kind, failed};
use crate::Result;
use crate::tensor::{Tensor, TensorSpec};

/// Inputs, or outputs; three lists of one length.
pub(super) struct Ends {
    pub(super) specs: Vec<TensorSpec>,
    /// How their values are moved.
    pub(super) kinds: Vec<Kind>,
    casts: Vec<Option<Cast>>,
}

type CastFor = fn(&Environment, ort::value::TensorElementType) -> Result<Option<Cast>>;

impl Ends {
    pub(super) fn inputs(environment: &Environment, outlets: &[Outlet]) -> Result<Self> {
        Self::new(environment, outlets, Cast::into_graph)
    }

    pub(super) fn outputs(environment: &Environment, outlets: &[Outlet]) -> Result<Self> {
        Self::new(environment, outlets, Cast::out_of_graph)
    }

    fn new(environment: &Environment, outlets: &[Outlet], cast: CastFor) -> Result<Self> {
        let (specs, kinds): (Vec<_>, Vec<_>) = outlets.iter().map(values::outlet).unzip();
        let cast = |kind: &Kind| if let Kind::Tensor { graph, .. } = kind { cast(environment, *graph) } else { Ok(None) };
        let casts = kinds.iter().map(cast).collect::<Result<_>>()?;
        Ok(Self { specs, kinds, casts })
    }

    /// The place of an input or output among them.
    pub(super) fn place(&self, name: &str) -> Option<usize> {
        self.specs.iter().position(|spec| spec.name == name)
    }

    /// Whether the values of the one at `place` are cast.
    pub(super) fn is_cast(&self, place: usize) -> bool {
        self.casts.get(place).is_some_and(Option::is_some)
    }

    /// A tensor as the graph takes it: a view, unless it is of strings or has to be cast.
    pub(super) fn value<'t>(&self, tensor: &'t Tensor) -> Result<SessionInputValue<'t>> {
        let value = values::to_value(tensor)?;
        let Some(place) = self.place(&tensor.name) else { return Ok(value) };
        match (self.kinds[place], &self.casts[place]) {
            (Kind::Tensor { graph, .. }, Some(cast)) => {
                cast::check(&tensor.name, graph, &tensor.data)?;
                Ok(SessionInputValue::Owned(cast.run(value)?))
            }
            _ => Ok(value),
        }
    }

    /// All of them in their order.
    pub(super) fn values<'t>(&self, tensors: &'t [Tensor]) -> Result<Vec<SessionInputValue<'t>>> {
        let named = |name: &String| tensors.iter().find(|tensor| tensor.name == *name);
        let value = |spec: &TensorSpec| self.value(named(&spec.name).ok_or_else(|| failed(format!("input `{}` is missing", spec.name)))?);
        self.specs.iter().map(value).collect()
    }

    /// What a run gave, copied out of the runtime's memory.
    pub(super) fn tensors(&self, outputs: &SessionOutputs<'_>) -> Result<Vec<Tensor>> {
        let mut tensors = Vec::with_capacity(self.specs.len());
        for ((spec, kind), cast) in self.specs.iter().zip(&self.kinds).zip(&self.casts) {
            let Some(value) = outputs.get(&spec.name) else { continue };
            match cast {
                None => values::from_value(&spec.name, *kind, value, &mut tensors)?,
                Some(cast) => values::from_value(&spec.name, *kind, &cast.run(SessionInputValue::View(value.view()))?, &mut tensors)?,
            }
        }
        Ok(tensors)
    }
}
