//! Type hashes (RIHS01): what each type consists of, by full name, and the digest of that. Two nodes talk
//! only where these agree, so every kind of type is described here as rosidl describes it.

use anyhow::{Context, Result};
use hiroz_codegen::{
    hashing::{
        FieldDescription, FieldTypeDescription, TypeDescription, TypeDescriptionMsg, TypeId, build_type_description_msg, calculate_hash,
    },
    types::{ParsedMessage, ParsedService, ResolvedMessage, ResolvedService, TypeHash},
};
use std::collections::BTreeMap;

/// ROS name of a message type. A message has no underscore in its name; a part of an action has.
pub fn full_name(package: &str, name: &str) -> String {
    format!("{package}/{}/{name}", if name.contains('_') { "action" } else { "msg" })
}

/// Descriptions by full name.
#[derive(Default)]
pub struct Types(BTreeMap<String, TypeDescription>);

impl Types {
    /// Makes a type known under a name, so that others can consist of it.
    pub fn describe(&mut self, message: &ParsedMessage, full: &str) -> Result<()> {
        let mut description = build_type_description_msg(message, &BTreeMap::new()).with_context(|| full.to_string())?.type_description;
        description.type_name = full.to_string();
        for (described, field) in description.fields.iter_mut().zip(&message.fields) {
            let (ty, nested) = (&field.field_type, &mut described.field_type.nested_type_name);
            if !nested.is_empty() {
                *nested = full_name(ty.package.as_deref().unwrap_or(&message.package), &ty.base_type);
            }
        }
        self.0.insert(full.to_string(), description);
        Ok(())
    }

    /// A message whose parts are known.
    pub fn message(&mut self, message: ParsedMessage, full: &str) -> Result<ResolvedMessage> {
        self.describe(&message, full)?;
        Ok(ResolvedMessage { parsed: message, type_hash: self.hash(full)?, definition: String::new() })
    }

    /// A service whose request and response consist of what is known. rosidl adds an event for introspection.
    pub fn service(&mut self, service: ParsedService, full: &str) -> Result<ResolvedService> {
        let (asked, answered, event) = (format!("{full}_Request"), format!("{full}_Response"), format!("{full}_Event"));
        let request = self.message(service.request.clone(), &asked)?;
        let response = self.message(service.response.clone(), &answered)?;
        let nested = |name: &str, ty: &str| field(name, FieldTypeDescription::nested(TypeId::NESTED_TYPE, ty.to_string()));
        let at_most_one =
            |name: &str, ty: &str| field(name, FieldTypeDescription::nested_array(TypeId::NESTED_TYPE_BOUNDED_SEQUENCE, 1, ty.to_string()));
        let info = nested("info", "service_msgs/msg/ServiceEventInfo");
        self.add(&event, vec![info, at_most_one("request", &asked), at_most_one("response", &answered)]);
        let parts = [("request_message", &asked), ("response_message", &answered), ("event_message", &event)];
        self.add(full, parts.iter().map(|(name, ty)| nested(name, ty)).collect());
        Ok(ResolvedService { parsed: service, request, response, type_hash: self.hash(full)? })
    }

    fn add(&mut self, full: &str, fields: Vec<FieldDescription>) {
        self.0.insert(full.to_string(), TypeDescription { type_name: full.to_string(), fields });
    }

    fn hash(&self, full: &str) -> Result<TypeHash> {
        let description = self.get(full)?;
        let mut referenced = BTreeMap::new();
        self.referenced(description, &mut referenced).with_context(|| full.to_string())?;
        let referenced_type_descriptions = referenced.into_values().collect();
        Ok(calculate_hash(&TypeDescriptionMsg { type_description: description.clone(), referenced_type_descriptions }))
    }

    /// Everything a type consists of, however deep.
    fn referenced(&self, description: &TypeDescription, found: &mut BTreeMap<String, TypeDescription>) -> Result<()> {
        for name in description.fields.iter().map(|field| &field.field_type.nested_type_name).filter(|name| !name.is_empty()) {
            if !found.contains_key(name) {
                let inner = self.get(name)?;
                found.insert(name.clone(), inner.clone());
                self.referenced(inner, found)?;
            }
        }
        Ok(())
    }

    fn get(&self, name: &str) -> Result<&TypeDescription> {
        self.0.get(name).with_context(|| format!("no interface file defines {name}"))
    }
}

fn field(name: &str, field_type: FieldTypeDescription) -> FieldDescription {
    FieldDescription { name: name.to_string(), field_type, default_value: String::new() }
}
