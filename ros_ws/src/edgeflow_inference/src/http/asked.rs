//! The JSON of `POST /infer`, read in one pass straight into tensors: which element type a list has, the model says as soon as
//! the input's name is read.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::HttpError;
use super::json::{Level, Lists, reason};
use crate::Error;
use crate::engine::Model;
use crate::tensor::{Data, ElementType, Tensor, TensorSpec};

/// The tensors of a body, `{"inputs": {"X": [[1, 2]]}}` or `{"inputs": [[1, 2]]}` for a graph with one input.
pub(super) fn tensors(model: &Model, body: &[u8]) -> Result<Vec<Tensor>, HttpError> {
    let mut asked = Asked { inputs: model.inputs(), tensors: Vec::with_capacity(model.inputs().len()), at: None, refused: None };
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Deserializer::deserialize_map(&mut reader, Body(&mut asked)).and_then(|()| reader.end());
    match (read, asked.refused, asked.at) {
        (Ok(()), None, _) => Ok(asked.tensors),
        (_, Some(refused), _) => Err(refused.into()),
        (Err(error), None, Some(spec)) if error.classify() == Category::Data => {
            Err(Error::Tensor { name: spec.name.clone(), reason: reason(&error) }.into())
        }
        (Err(error), None, _) => Err(HttpError::bad(format!("the body is not understood: {error}"))),
    }
}

/// What has been read.
struct Asked<'m> {
    /// What the graph takes.
    inputs: &'m [TensorSpec],
    tensors: Vec<Tensor>,
    /// The input whose lists are being read.
    at: Option<&'m TensorSpec>,
    /// What is wrong beyond JSON.
    refused: Option<Error>,
}

impl<'m> Asked<'m> {
    /// What the elements of an input are, whose lists come next.
    fn begin<E: serde::de::Error>(&mut self, spec: &'m TensorSpec) -> Result<ElementType, E> {
        self.at = Some(spec);
        spec.element_type.ok_or_else(|| E::custom(format!("the graph wants {}, which has no form in JSON", spec.type_name)))
    }

    fn end<E: serde::de::Error>(&mut self, spec: &'m TensorSpec, (shape, data): (Vec<i64>, Data)) -> Result<(), E> {
        self.at = None;
        match Tensor::new(spec.name.clone(), shape, data) {
            Ok(tensor) => {
                self.tensors.push(tensor);
                Ok(())
            }
            Err(error) => Err(self.refuse(error)),
        }
    }

    fn refuse<E: serde::de::Error>(&mut self, error: Error) -> E {
        self.refused = Some(error);
        E::custom("refused")
    }
}

/// The whole body.
struct Body<'a, 'm>(&'a mut Asked<'m>);

impl<'de> Visitor<'de> for Body<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `inputs`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<Key>()? {
            match key {
                Key::Inputs if found => return Err(A::Error::duplicate_field("inputs")),
                Key::Inputs => map.next_value_seed(Inputs(self.0))?,
            }
            found = true;
        }
        if found { Ok(()) } else { Err(A::Error::missing_field("inputs")) }
    }
}

/// The keys of the body.
#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Key {
    Inputs,
}

/// The value of `inputs`.
struct Inputs<'a, 'm>(&'a mut Asked<'m>);

impl<'de> DeserializeSeed<'de> for Inputs<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Inputs<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lists, or an object of input names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<(), A::Error> {
        self.only(|lists| lists.visit_seq(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(asked) = self;
        while let Some(spec) = map.next_key_seed(Name(&mut *asked))? {
            let element = asked.begin(spec)?;
            let read = map.next_value_seed(Lists(element))?;
            asked.end(spec, read)?;
        }
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.only(|lists| lists.visit_bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.only(|lists| lists.visit_i64(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.only(|lists| lists.visit_u64(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.only(|lists| lists.visit_f64(value))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.only(|lists| lists.visit_unit())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.only(|lists| lists.visit_str(value))
    }
}

impl Inputs<'_, '_> {
    /// Lists or an element without a name: those of the only input.
    fn only<E: serde::de::Error>(self, visit: impl FnOnce(Level<'_>) -> Result<(), E>) -> Result<(), E> {
        let Self(asked) = self;
        let [only] = asked.inputs else {
            return Err(E::custom("`inputs` must be an object of input names: the graph has several"));
        };
        let element = asked.begin(only)?;
        let read = Lists(element).read(visit)?;
        asked.end(only, read)
    }
}

/// The name of an input.
struct Name<'a, 'm>(&'a mut Asked<'m>);

impl<'de, 'm> DeserializeSeed<'de> for Name<'_, 'm> {
    type Value = &'m TensorSpec;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de, 'm> Visitor<'de> for Name<'_, 'm> {
    type Value = &'m TensorSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an input")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let inputs = self.0.inputs;
        inputs.iter().find(|spec| spec.name == name).ok_or_else(|| {
            let names: Vec<&str> = inputs.iter().map(|spec| spec.name.as_str()).collect();
            let reason = format!("the graph has no such input; it takes {}", names.join(", "));
            self.0.refuse(Error::Tensor { name: name.to_owned(), reason })
        })
    }
}
