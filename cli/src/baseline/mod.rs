//! `edgeflow baseline ...`: the drift reference of a model, made from the data it was trained on, and looked at.

mod images;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use edgeflow_drift::{Baseline, BaselineBuilder, DEFAULT_BINS, Feature, FeatureBaseline};
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::CliError;
use crate::output;
use table::{Column, Table};

/// What a baseline can be told or asked.
#[derive(Subcommand)]
pub(crate) enum BaselineCommand {
    /// Make one from tables (.npy, .csv, .parquet) or from images (.png, .jpg, folders of them, .npy of them).
    Build(BuildArguments),
    /// Print what one says of each feature.
    #[command(after_help = "Example:\n  edgeflow baseline show bundle/baseline.json")]
    Show {
        /// A baseline.json.
        file: PathBuf,
    },
}

/// What is to be made of what.
#[derive(Args)]
#[command(after_help = "\
Examples:
  edgeflow baseline build frames/ --out bundle/baseline.json             PNG and JPEG files, in the order of their names
  edgeflow baseline build frames.npy --out baseline.json                 uint8: images x rows x columns [x channels]
  edgeflow baseline build joints.csv --columns position,effort --out baseline.json
  edgeflow baseline build inputs.npy --name X --out baseline.json        rows x elements: X[0], X[1] ...
  edgeflow baseline build run-1.parquet run-2.parquet --categorical class --prefix output. --out baseline.json

Rows and images are taken in the order of time: how much neighbours resemble each other decides what a baseline is worth.
Of images: brightness, contrast, sharpness, and red, green and blue where they have colours, as inference_node measures them.")]
pub(crate) struct BuildArguments {
    /// Files, or folders of images; all tables, with the same columns, or all images.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// File to write; not one that is there already, unless --force.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Write over a file.
    #[arg(long)]
    force: bool,
    /// Columns of a table to take; all of them when absent.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    columns: Vec<String>,
    /// Columns whose numbers are codes of categories; columns of text are categories anyway, by the order of their words.
    #[arg(long, value_delimiter = ',', value_name = "NAME,...")]
    categorical: Vec<String>,
    /// Name of the columns of a .npy table.
    #[arg(long, default_value = "X")]
    name: String,
    /// What the features' names begin with: `output.` makes them those of a model's outputs.
    #[arg(long, default_value = "", value_name = "TEXT")]
    prefix: String,
    /// Bins of a numeric feature.
    #[arg(long, default_value_t = DEFAULT_BINS, value_parser = parse_bins)]
    bins: usize,
}

fn parse_bins(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|bins| (2..=100).contains(bins)).ok_or_else(|| "give 2 to 100".to_owned())
}

/// Does what is asked.
pub(crate) async fn run(command: BaselineCommand) -> Result<(), CliError> {
    match command {
        BaselineCommand::Build(arguments) => build(&arguments),
        BaselineCommand::Show { file } => show(&file),
    }
}

/// A source that says nothing this program can use.
fn refuse(path: &Path, reason: impl Into<String>) -> CliError {
    CliError::Input { path: path.display().to_string(), reason: reason.into() }
}

/// The text of a baseline of all columns in `data`, as `build` makes it.
pub(crate) fn of(data: &Path, name: &str) -> Result<String, CliError> {
    let paths = vec![data.to_owned()];
    let arguments = BuildArguments {
        paths,
        out: PathBuf::new(),
        force: false,
        columns: Vec::new(),
        categorical: Vec::new(),
        name: name.to_owned(),
        prefix: String::new(),
        bins: DEFAULT_BINS,
    };
    Ok(baseline(&gather(&arguments)?, &arguments)?.to_json()?)
}

fn build(arguments: &BuildArguments) -> Result<(), CliError> {
    let write = |source| CliError::Write { path: arguments.out.display().to_string(), source };
    if !arguments.force && arguments.out.exists() {
        return Err(write(std::io::Error::new(std::io::ErrorKind::AlreadyExists, "it is there already: --force writes over it")));
    }
    let table = gather(arguments)?;
    let baseline = baseline(&table, arguments)?;
    fs::write(&arguments.out, baseline.to_json()?).map_err(write)?;
    let (features, rows) = (baseline.features.len(), table.rows());
    let told = serde_json::json!({ "file": arguments.out, "features": features, "rows": rows });
    output::said(format!("{}: {features} features of {rows} rows", arguments.out.display()), &told)
}

/// All rows of all files.
fn gather(arguments: &BuildArguments) -> Result<Table, CliError> {
    let mut table = Table::default();
    let files = images::files(&arguments.paths)?;
    let bar = progress(files.len() as u64);
    for file in &files {
        bar.set_message(file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default());
        table.append(file, read(file, &arguments.name)?)?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(table)
}

/// A bar on standard error, where that is a terminal.
fn progress(files: u64) -> ProgressBar {
    let bar = ProgressBar::new(files);
    // A template of our own that is right is never refused.
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar
}

fn read(file: &Path, name: &str) -> Result<Table, CliError> {
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    match extension.as_str() {
        "csv" => table::csv(file),
        "parquet" => table::parquet(file),
        "npy" => table::npy(file, name),
        "png" => images::png(file),
        "jpg" | "jpeg" => images::jpeg(file),
        _ => Err(refuse(file, "it is none of .npy, .csv, .parquet, .png, .jpg and a folder of images")),
    }
}

fn baseline(table: &Table, arguments: &BuildArguments) -> Result<Baseline, CliError> {
    let all: Vec<&str> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
    for wanted in arguments.columns.iter().chain(&arguments.categorical) {
        if !all.contains(&wanted.as_str()) {
            return Err(CliError::Input { path: wanted.clone(), reason: format!("there is no such column; there are {}", all.join(", ")) });
        }
    }
    let chosen = table.columns.iter().filter(|(name, _)| arguments.columns.is_empty() || arguments.columns.contains(name));
    let mut features = Vec::new();
    for (name, column) in chosen {
        let named = format!("{}{name}", arguments.prefix);
        let (feature, values) = match column {
            Column::Numbers(values) if arguments.categorical.contains(name) => (Feature::categorical(named, Vec::new()), values.clone()),
            Column::Numbers(values) => (Feature::numeric(named, images::unit(name)), values.clone()),
            Column::Texts(texts) => {
                let (words, codes) = table::codes(texts);
                (Feature::categorical(named, words), codes)
            }
        };
        // Feature by feature: a builder wants whole rows, and a column may have gaps.
        let mut builder = BaselineBuilder::of(vec![feature]).bins(arguments.bins);
        values.iter().try_for_each(|&value| builder.push(&[value]))?;
        features.extend(builder.build()?.features);
    }
    Ok(Baseline::new(edgeflow_drift::BaselineSource::Bundle, features)?)
}

fn show(file: &Path) -> Result<(), CliError> {
    let path = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|source| CliError::Read { path, source })?;
    let baseline = Baseline::from_json(&text)?;
    if output::as_json() {
        return output::line(baseline.to_json()?);
    }
    output::line(format!("version {}, {}", baseline.v, baseline.source.name()))?;
    let number = |feature: &FeatureBaseline, value: f64| if feature.is_categorical() { "-".to_owned() } else { format!("{value:.4}") };
    let rows: Vec<[String; 8]> = baseline
        .features
        .iter()
        .map(|f| {
            [
                f.name.clone(),
                f.unit.clone(),
                f.n.to_string(),
                format!("{:.0}", f.n_effective),
                number(f, f.mean),
                number(f, f.std),
                number(f, f.min),
                number(f, f.max),
            ]
        })
        .collect();
    output::table(["FEATURE", "UNIT", "ROWS", "INDEPENDENT", "MEAN", "STD", "LEAST", "GREATEST"], &rows)?;
    for feature in &baseline.features {
        output::line(format!("\n{}", feature.name))?;
        let share = |count: &u64| format!("{:.1} %", *count as f64 / feature.n as f64 * 100.0);
        let bins = if feature.is_categorical() { feature.bin_names() } else { bounds(&feature.edges) };
        let rows: Vec<[String; 3]> =
            bins.into_iter().zip(&feature.counts).map(|(bin, count)| [format!("  {bin}"), count.to_string(), share(count)]).collect();
        output::table(["  BIN", "ROWS", "SHARE"], &rows)?;
    }
    Ok(())
}

/// Bins of a numeric feature in words.
fn bounds(edges: &[f64]) -> Vec<String> {
    let text = |edge: &f64| format!("{edge:.6}").trim_end_matches('0').trim_end_matches('.').to_owned();
    let Some((first, last)) = edges.first().zip(edges.last()) else { return vec!["all".to_owned()] };
    let between = edges.windows(2).map(|pair| format!("{} to {}", text(&pair[0]), text(&pair[1])));
    std::iter::once(format!("below {}", text(first))).chain(between).chain([format!("{} and above", text(last))]).collect()
}
