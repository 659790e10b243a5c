//! I/O binding: inputs are copied into memory that stays and bound, outputs are written into memory that stays bound.
//!
//! Where a provider has memory of its own (CUDA, TensorRT) this is what saves copies and allocations: binding an input is its one
//! copy onto the device, and an output comes back straight into the memory that is bound. On a CPU it costs a copy of
//! the inputs, which a plain run reads where they are.

use ort::memory::{Allocator, MemoryInfo};
use ort::session::{IoBinding, Session};
use ort::value::{DynTensor, TensorElementType, ValueType};

use super::ends::Ends;
use super::values::{Kind, failed, write};
use crate::Result;
use crate::tensor::Tensor;

/// A session's binding and the memory that is bound. One run at a time.
pub(super) struct Bound {
    binding: IoBinding,
    /// Where outputs go whose shape nobody tells before the run.
    processor: MemoryInfo<'static>,
    /// Memory of each input, of the shape it had last.
    inputs: Vec<Option<DynTensor>>,
    /// Shape of the memory bound to each output; `None` when the runtime is to bring some.
    outputs: Vec<Option<Vec<i64>>>,
    /// What the graph tells of each output's shape.
    told: Vec<Option<Vec<Dimension>>>,
}

/// How long an output is along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dimension {
    Fixed(i64),
    /// As an input is along one of its axes: the graph calls both by one name.
    AsInput {
        input: usize,
        axis: usize,
    },
}

impl Bound {
    pub(super) fn new(session: &Session) -> Result<Self> {
        let (inputs, outputs) = (session.inputs(), session.outputs());
        let types: Vec<_> = inputs.iter().map(|input| input.dtype()).collect();
        Ok(Self {
            binding: session.create_binding().map_err(failed)?,
            processor: MemoryInfo::default(),
            inputs: inputs.iter().map(|_| None).collect(),
            outputs: vec![None; outputs.len()],
            told: outputs.iter().map(|output| told(output.dtype(), &types)).collect(),
        })
    }

    /// Runs on `given`. With `keeps`, outputs of shapes that are told go into memory that stays, else into the runtime's.
    pub(super) fn run(&mut self, session: &mut Session, ends: (&Ends, &Ends), given: &[Tensor], keeps: bool) -> Result<Vec<Tensor>> {
        let (inputs, outputs) = ends;
        for tensor in given {
            self.bind_input(inputs, tensor)?;
        }
        for place in 0..outputs.specs.len() {
            let shape = if keeps { self.shape(place, inputs, given) } else { None };
            self.bind_output(outputs, place, shape)?;
        }
        self.binding.synchronize_inputs().map_err(failed)?;
        let ran = session.run_binding(&self.binding).map_err(failed).and_then(|ran| outputs.tensors(&ran));
        if ran.is_err() {
            // What a run leaves behind when it fails is not said: bind anew.
            self.binding.clear();
            self.outputs.fill(None);
        }
        ran
    }

    /// Binds anew for each run: with memory of its own, the provider copies now.
    fn bind_input(&mut self, inputs: &Ends, tensor: &Tensor) -> Result<()> {
        let Some(place) = inputs.place(&tensor.name) else { return Ok(()) };
        let graph = match inputs.kinds[place] {
            Kind::Tensor { graph, .. } if tensor.data.element_type().size_bytes().is_some() && !inputs.is_cast(place) => graph,
            // Strings have no memory of a known size, and what was cast is a value of its own.
            _ => {
                let value = inputs.value(tensor)?;
                return self.binding.bind_input(&tensor.name, &*value).map_err(failed);
            }
        };
        let fits = |memory: &DynTensor| memory.shape()[..] == tensor.shape[..];
        let memory = match self.inputs[place].take().filter(fits) {
            Some(memory) => memory,
            None => DynTensor::new(&Allocator::default(), graph, tensor.shape.as_slice()).map_err(failed)?,
        };
        let memory = self.inputs[place].insert(memory);
        write(&tensor.data, memory)?;
        self.binding.bind_input(&tensor.name, memory).map_err(failed)
    }

    fn bind_output(&mut self, outputs: &Ends, place: usize, shape: Option<Vec<i64>>) -> Result<()> {
        let name = outputs.specs[place].name.as_str();
        match (outputs.kinds[place], shape) {
            (Kind::Other, _) => Ok(()),
            (Kind::Tensor { graph, .. }, Some(shape)) => {
                if self.outputs[place].as_ref() != Some(&shape) {
                    let memory = DynTensor::new(&Allocator::default(), graph, shape.as_slice()).map_err(failed)?;
                    self.binding.bind_output(name, memory).map_err(failed)?;
                    self.outputs[place] = Some(shape);
                }
                Ok(())
            }
            // Anew for each run: else the runtime would write into the memory it brought before, whatever the shape now is.
            _ => {
                self.outputs[place] = None;
                self.binding.bind_output_to_device(name, &self.processor).map_err(failed)
            }
        }
    }

    /// The shape of an output, if it is told; nothing is kept for outputs without elements.
    fn shape(&self, place: usize, inputs: &Ends, given: &[Tensor]) -> Option<Vec<i64>> {
        let length = |dimension: &Dimension| match *dimension {
            Dimension::Fixed(length) => Some(length),
            Dimension::AsInput { input, axis } => {
                let name = &inputs.specs.get(input)?.name;
                given.iter().find(|tensor| tensor.name == *name)?.shape.get(axis).copied()
            }
        };
        let shape = self.told[place].as_ref()?.iter().map(length).collect::<Option<Vec<_>>>()?;
        shape.iter().all(|length| *length > 0).then_some(shape)
    }
}

/// What a graph tells of an output's shape: lengths, and names of lengths that an input has too.
fn told(output: &ValueType, inputs: &[&ValueType]) -> Option<Vec<Dimension>> {
    let ValueType::Tensor { ty, shape, dimension_symbols } = output else { return None };
    // Without dimensions it is a scalar, or of a rank that is not known. Strings are of no size.
    if shape.is_empty() || *ty == TensorElementType::String {
        return None;
    }
    let named = |symbol: &String| {
        inputs.iter().enumerate().find_map(|(input, ty)| match ty {
            ValueType::Tensor { shape, dimension_symbols, .. } if !symbol.is_empty() => {
                let axis = (0..shape.len()).find(|axis| shape[*axis] < 0 && dimension_symbols.get(*axis) == Some(symbol))?;
                Some(Dimension::AsInput { input, axis })
            }
            _ => None,
        })
    };
    let dimension = |(length, symbol): (&i64, &String)| if *length < 0 { named(symbol) } else { Some(Dimension::Fixed(*length)) };
    shape.iter().zip(dimension_symbols.iter()).map(dimension).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ort::value::{Shape, SymbolicDimensions};

    fn tensor(shape: &[(i64, &str)]) -> ValueType {
        ValueType::Tensor {
            ty: TensorElementType::Float32,
            shape: Shape::new(shape.iter().map(|(length, _)| *length)),
            dimension_symbols: SymbolicDimensions::new(shape.iter().map(|(_, symbol)| (*symbol).to_owned())),
        }
    }

    #[test]
    fn open_lengths_are_told_where_an_input_has_the_same_name_for_one() {
        let (image, mask) = (tensor(&[(-1, "batch"), (3, ""), (-1, "")]), tensor(&[(1, "batch"), (-1, "width")]));
        let inputs = [&image, &mask];
        let batch = Dimension::AsInput { input: 0, axis: 0 };
        let width = Dimension::AsInput { input: 1, axis: 1 };
        assert_eq!(told(&tensor(&[(2, ""), (4, "")]), &inputs), Some(vec![Dimension::Fixed(2), Dimension::Fixed(4)]));
        assert_eq!(told(&tensor(&[(-1, "batch"), (5, ""), (-1, "width")]), &inputs), Some(vec![batch, Dimension::Fixed(5), width]));
        for nobody_tells in [&[(-1, "boxes"), (4, "")][..], &[(-1, "")], &[]] {
            assert_eq!(told(&tensor(nobody_tells), &inputs), None, "{nobody_tells:?}");
        }
        let maps = ValueType::Sequence(Box::new(ValueType::Map { key: TensorElementType::Int64, value: TensorElementType::Float32 }));
        assert_eq!(told(&maps, &inputs), None);
        let ValueType::Tensor { shape, dimension_symbols, .. } = tensor(&[(2, "")]) else { unreachable!() };
        assert_eq!(told(&ValueType::Tensor { ty: TensorElementType::String, shape, dimension_symbols }, &inputs), None);
    }
}
