//! `edgeflow edge-log export`: JSON lines for scripts, MCAP for the tools roboticists look at time with.

use clap::Args;
use edgeflow_edge_log::LogInspector;
use edgeflow_wire::{Class, Entry};
use mcap::records::MessageHeader;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::{bar, class};
use crate::{error::CliError, output};

/// What is read from the log in one go.
const PAGE_ENTRIES: usize = 1_000;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

#[derive(Args)]
pub(crate) struct ExportArguments {
    /// The bridge's data_dir, or a log file such as one that was set aside.
    log: PathBuf,
    /// Where to: a file that ends in .jsonl or .mcap and is not there yet. Without it JSON lines go to standard output.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Only this class; may be given several times.
    #[arg(long, value_name = "CLASS", value_parser = class)]
    class: Vec<Class>,
}

pub(super) fn export(arguments: &ExportArguments) -> Result<(), CliError> {
    let log = LogInspector::open(&arguments.log)?;
    let classes = Class::ALL.into_iter().filter(|class| arguments.class.is_empty() || arguments.class.contains(class)).collect::<Vec<_>>();
    let Some(path) = &arguments.out else {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut write = |class, entry: &Entry| json_line(&mut out, class, entry).map_err(CliError::Output);
        each(&log, &classes, &mut write)?;
        return out.flush().map_err(CliError::Output);
    };
    let name = path.display().to_string();
    let failed = |source| CliError::Write { path: name.clone(), source };
    let write = |path: &Path| File::create_new(path).map(BufWriter::new).map_err(failed);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl") => {
            let mut out = write(path)?;
            each(&log, &classes, &mut |class, entry| json_line(&mut out, class, entry).map_err(failed))?;
            out.flush().map_err(failed)?;
        }
        Some("mcap") => {
            let failed = |source| CliError::Mcap { path: name.clone(), source };
            let mut out = Mcap::new(write(path)?, &log.epoch()?).map_err(failed)?;
            each(&log, &classes, &mut |class, entry| out.add(class, entry).map_err(failed))?;
            out.file.finish().map(drop).map_err(failed)?;
        }
        _ => return Err(CliError::Value { what: name, reason: "is neither .jsonl nor .mcap: name the file so".to_owned() }),
    }
    // To people a file that is there says enough.
    if output::as_json() { output::line(format!("{:#}", json!({ "file": name }))) } else { Ok(()) }
}

/// Hands over every entry, class by class.
fn each(log: &LogInspector, classes: &[Class], write: &mut impl FnMut(Class, &Entry) -> Result<(), CliError>) -> Result<(), CliError> {
    let held = log.overview()?.iter().filter(|class| classes.contains(&class.stats.class)).map(|class| class.held).sum();
    let bar = bar(held);
    for class in classes {
        let mut from_seq = 1;
        loop {
            let page = log.entries(*class, from_seq, PAGE_ENTRIES, PAGE_BYTES)?;
            let Some(last) = page.last() else { break };
            from_seq = last.seq + 1;
            for entry in &page {
                write(*class, entry)?;
            }
            bar.inc(page.len() as u64);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

fn json_line(out: &mut impl Write, class: Class, entry: &Entry) -> io::Result<()> {
    let mut document = serde_json::to_value(entry)?;
    document["class"] = json!(class);
    writeln!(out, "{document}")
}

/// One channel per kind of entry, its messages the entries' JSON.
struct Mcap {
    file: mcap::Writer<BufWriter<File>>,
    epoch: String,
    /// By class and kind: the channel's number.
    channels: HashMap<(Class, String), u16>,
}

impl Mcap {
    fn new(out: BufWriter<File>, epoch: &str) -> mcap::McapResult<Self> {
        let file = mcap::WriteOptions::new().library(concat!("edgeflow ", env!("CARGO_PKG_VERSION"))).create(out)?;
        Ok(Self { file, epoch: epoch.to_owned(), channels: HashMap::new() })
    }

    fn add(&mut self, class: Class, entry: &Entry) -> mcap::McapResult<()> {
        let kind = entry.content.kind().to_owned();
        let channel_id = match self.channels.get(&(class, kind.clone())) {
            Some(id) => *id,
            None => {
                let schema = self.file.add_schema(&format!("edgeflow.{kind}"), "jsonschema", br#"{"type":"object"}"#)?;
                let about = BTreeMap::from([("class".to_owned(), class.to_string()), ("epoch".to_owned(), self.epoch.clone())]);
                let id = self.file.add_channel(schema, &format!("/edge_log/{class}/{kind}"), "json", &about)?;
                self.channels.insert((class, kind), id);
                id
            }
        };
        let time_ns = u64::try_from(entry.t_us).unwrap_or_default() * 1_000;
        // Numbers restart with each channel's class; what MCAP counts in 32 bits it may wrap.
        let header = MessageHeader { channel_id, sequence: entry.seq as u32, log_time: time_ns, publish_time: time_ns };
        let document: Value = json!(entry);
        self.file.write_to_known_channel(&header, document.to_string().as_bytes())
    }
}
