//! Arrays of fixed length are `Vec`s in Rust, and r2r panics on one of another length. It must not get one.

use super::typed::type_id;
use crate::{
    error::{Error, Result},
    registry::{self, Array, Element, TypeDescription},
    stack::Message,
};
use serde_json::Value;

/// The check a type needs: none for most.
#[derive(Clone, Copy)]
pub(super) struct Lengths(Option<&'static TypeDescription>);

impl Lengths {
    pub(super) fn of<T: Message>() -> Self {
        let ty = type_id::<T>().and_then(|id| registry::message(&id.name).ok());
        Self(ty.filter(|ty| has_fixed(ty)))
    }

    pub(super) fn check<T: Message>(self, message: &T) -> Result<()> {
        let Some(ty) = self.0 else { return Ok(()) };
        let value = serde_json::to_value(message).map_err(|e| Error::Encode { type_name: ty.name.into(), reason: e.to_string() })?;
        walk(ty, &value).map_err(|reason| Error::Encode { type_name: ty.name.into(), reason })
    }
}

fn nested(element: Element) -> Option<&'static TypeDescription> {
    match element {
        Element::Message(name) => registry::message(name).ok(),
        _ => None,
    }
}

fn has_fixed(ty: &TypeDescription) -> bool {
    ty.fields.iter().any(|field| matches!(field.array, Array::Fixed(_)) || nested(field.ty).is_some_and(has_fixed))
}

fn walk(ty: &TypeDescription, value: &Value) -> Result<(), String> {
    for field in ty.fields {
        // r2r escapes Rust's keywords by an underscore.
        let Some(value) = value.get(field.name).or_else(|| value.get(format!("{}_", field.name))) else { continue };
        let items = value.as_array().map(Vec::as_slice);
        if let (Array::Fixed(length), Some(items)) = (field.array, items)
            && items.len() != length
        {
            return Err(format!("{}: a fixed array must have {length} elements, not {}", field.name, items.len()));
        }
        let Some(inner) = nested(field.ty).filter(|inner| has_fixed(inner)) else { continue };
        let elements = if matches!(field.array, Array::Single) { std::slice::from_ref(value) } else { items.unwrap_or_default() };
        elements.iter().try_for_each(|element| walk(inner, element)).map_err(|reason| format!("{}.{reason}", field.name))?;
    }
    Ok(())
}
