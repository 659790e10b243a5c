//! `edgeflow ros interface`: types this program knows.

use clap::Subcommand;
use edgeflow_ros::registry::{self, Array, FieldDescription, TypeDescription};
use std::fmt::Write;

use crate::{error::CliError, output};

#[derive(Subcommand)]
pub(super) enum InterfaceCommand {
    /// The names of all types.
    #[command(after_help = "Example:\n  edgeflow ros interface list")]
    List,
    /// The fields of a type.
    #[command(after_help = "Example:\n  edgeflow ros interface show edgeflow_msgs/srv/Infer")]
    Show {
        /// For instance edgeflow_msgs/srv/Infer.
        #[arg(value_name = "TYPE")]
        name: String,
    },
}

pub(super) fn run(command: &InterfaceCommand) -> Result<(), CliError> {
    match command {
        InterfaceCommand::List => output::lines(registry::messages().chain(registry::services()).chain(registry::actions())),
        InterfaceCommand::Show { name } => output::text(&parts(name)?.into_iter().map(describe).collect::<Vec<_>>().join("---\n")),
    }
}

/// What a service or an action consists of, or the message itself.
fn parts(name: &str) -> Result<Vec<&'static TypeDescription>, CliError> {
    if let Ok(service) = registry::service(name) {
        return Ok(vec![service.request(), service.response()]);
    }
    if let Ok(action) = registry::action(name) {
        return Ok(vec![action.goal(), action.result(), action.feedback()]);
    }
    Ok(vec![registry::resolve(name, None)?])
}

/// A type as an interface file would define it, without its comments.
fn describe(ty: &TypeDescription) -> String {
    let mut text = String::new();
    for constant in ty.constants {
        let _ = writeln!(text, "{} {}={}", constant.ty, constant.name, constant.value);
    }
    for field in ty.fields {
        let _ = writeln!(text, "{} {}", field_type(field), field.name);
    }
    text
}

fn field_type(field: &FieldDescription) -> String {
    let element = field.ty.name().replace("/msg/", "/");
    let bound = field.string_bound.map(|bound| format!("<={bound}")).unwrap_or_default();
    match field.array {
        Array::Single => format!("{element}{bound}"),
        Array::Fixed(length) => format!("{element}{bound}[{length}]"),
        Array::Bounded(most) => format!("{element}{bound}[<={most}]"),
        Array::Unbounded => format!("{element}{bound}[]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_three_parts() {
        let text: Vec<_> = parts("edgeflow_msgs/action/DeployModel").unwrap().into_iter().map(describe).collect();
        assert!(text[0].starts_with("string slot\n") && text[1].starts_with("bool success\n"), "{text:?}");
        assert!(text[2].starts_with("uint8 DOWNLOADING=1\n") && text[2].ends_with("uint8 status\nfloat32 progress\n"), "{text:?}");
        assert!(parts("edgeflow_msgs/action/Absent").is_err());
    }

    #[test]
    fn a_type_is_shown_as_its_definition() {
        let text = describe(registry::message("sensor_msgs/Image").unwrap());
        assert_eq!(
            text,
            "std_msgs/Header header\nuint32 height\nuint32 width\nstring encoding\nuint8 is_bigendian\nuint32 step\nuint8[] data\n"
        );
    }
}
