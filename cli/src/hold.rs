//! `edgeflow hold`: on a robot, through its bridge's local API, with or without a link.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{error::CliError, output};

/// The bridge answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const MOST_BYTES: u64 = 1 << 20;

#[derive(Args)]
pub(crate) struct HoldArguments {
    /// Socket of the bridge: bridge.sock in its data_dir, or its local_socket.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/var/lib/edgeflow/bridge/bridge.sock",
        env = "EDGEFLOW_BRIDGE_SOCKET"
    )]
    socket: PathBuf,
    #[command(subcommand)]
    command: HoldCommand,
}

#[derive(Subcommand)]
enum HoldCommand {
    /// Who holds this robot.
    #[command(after_help = "Example:\n  edgeflow hold show")]
    Show,
    /// Hold this robot: it changes nothing of what it has until it is let go here.
    #[command(after_help = "Example:\n  edgeflow hold set 'gripper is off'")]
    Set {
        /// Why, for people.
        reason: String,
    },
    /// Let it go.
    #[command(after_help = "Example:\n  edgeflow hold release")]
    Release,
    /// Give up what was changed in a slot on this robot: what is declared is applied.
    #[command(after_help = "Example:\n  edgeflow hold give-up default")]
    GiveUp {
        /// The slot.
        slot: String,
    },
}

pub(crate) fn hold(arguments: HoldArguments) -> Result<(), CliError> {
    let socket = arguments.socket;
    match arguments.command {
        HoldCommand::Show => {
            let held = ask(&socket, "GET", "/v1/hold", None)?;
            let reason = |side: &str| held.pointer(&format!("/{side}/reason")).and_then(Value::as_str);
            let text = match (reason("control"), reason("robot")) {
                (Some(reason), _) => format!("held by the control plane: {reason}"),
                (None, Some(reason)) => format!("held here: {reason}"),
                (None, None) => "not held".to_owned(),
            };
            output::said(text, &held)
        }
        HoldCommand::Set { reason } => {
            ask(&socket, "PUT", "/v1/hold", Some(&json!({ "reason": reason })))?;
            output::said(format!("held here: {reason}"), &json!({ "held": reason }))
        }
        HoldCommand::Release => {
            ask(&socket, "DELETE", "/v1/hold", None)?;
            output::said("let go".to_owned(), &json!({ "released": true }))
        }
        HoldCommand::GiveUp { slot } => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            if slot.is_empty() || !slot.bytes().all(plain) {
                return Err(CliError::Value { what: slot, reason: "it is no name of a slot".to_owned() });
            }
            ask(&socket, "DELETE", &format!("/v1/slots/{slot}/change"), None)?;
            output::said(format!("slot {slot}: what was changed here is given up"), &json!({ "given_up": slot }))
        }
    }
}

/// One request over the socket, one answer, and the end of the connection.
fn ask(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<Value, CliError> {
    let failed = |source| CliError::Read { path: socket.display().to_string(), source };
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: bridge\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes())).map_err(failed)?;
    let mut answer = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut answer).map_err(failed)?;
    let wrong = || failed(std::io::Error::other("what answers there is no bridge"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(wrong)?;
    let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(wrong)?;
    let document: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    if (200..300).contains(&status) {
        return Ok(document);
    }
    let message = document.get("error").and_then(Value::as_str).unwrap_or("it does not say why").to_owned();
    Err(CliError::Value { what: path.to_owned(), reason: message })
}
