//! `edgeflow operators`: people with tokens of their own.

use clap::Subcommand;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};

use super::{
    client::{Client, encode},
    document,
    targets::keep_token,
};
use crate::{error::CliError, output, when::when};

#[derive(Subcommand)]
pub(crate) enum OperatorsCommand {
    /// Everybody who has a token of their own.
    #[command(after_help = "Example:\n  edgeflow operators list")]
    List,
    /// Give somebody a token of their own; what they do is recorded under operator:NAME. For the administrator.
    #[command(after_help = "\
The token is shown this once. Its owner keeps it with `edgeflow login`.

Examples:
  edgeflow operators create ada
  edgeflow operators create ada --token-file ada.token")]
    Create {
        /// Their name: lower-case letters, digits, dashes.
        name: String,
        /// A file for the token, in place of standard output; one that is there is not overwritten.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
    /// Take somebody's token away. For the administrator.
    #[command(after_help = "Example:\n  edgeflow operators remove ada")]
    Remove {
        /// Their name.
        name: String,
    },
}

#[derive(Deserialize)]
struct Operator {
    name: String,
    created_at_us: i64,
    created_by: String,
}

#[derive(Deserialize)]
struct Created {
    token: String,
}

pub(crate) async fn operators(command: OperatorsCommand) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    match command {
        OperatorsCommand::List => {
            let list = client.get("/operators", &[]).await?;
            if output::as_json() {
                return super::json(&list);
            }
            let row = |operator: Operator| [operator.name, when(operator.created_at_us), operator.created_by];
            let rows: Vec<_> = document::<Vec<Operator>>(list, "/operators")?.into_iter().map(row).collect();
            output::table(["NAME", "SINCE", "MADE BY"], &rows)
        }
        OperatorsCommand::Create { name, token_file } => {
            let ask = async {
                let answer = client.post("/operators", &json!({ "name": name })).await?;
                document::<Created>(answer, "/operators")
            };
            let Some(path) = token_file else {
                let token = ask.await?.token;
                return output::said(&token, &json!({ "name": name, "token": token }));
            };
            keep_token(&path, ask, |created| &created.token).await?;
            told(&name, &path)
        }
        OperatorsCommand::Remove { name } => {
            client.delete(&format!("/operators/{}", encode(&name))).await?;
            output::said(format!("{name} has no token any more"), &json!({ "removed": name }))
        }
    }
}

fn told(name: &str, path: &Path) -> Result<(), CliError> {
    output::said(format!("{name} may act with the token in {}", path.display()), &json!({ "name": name, "token_file": path }))
}
