//! Renders what the simulated cameras would see, for training: frames as NumPy arrays, or a drift baseline of them.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use edgeflow_drift::{BaselineBuilder, Feature, IMAGE_FEATURES, OUTPUT_PREFIX, image_features};
use edgeflow_sim::digits::{Digit, Digits, Split};
use edgeflow_sim::render::{Camera, FRAME_SIZE};

#[derive(Parser)]
#[command(about = "Renders what the simulated cameras would see")]
struct Args {
    /// Digits to show; the built-in ones when absent
    #[arg(long)]
    digits: Option<PathBuf>,
    /// Which of them
    #[arg(long, value_enum, default_value = "train")]
    split: Which,
    /// Seed of the camera
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, ValueEnum)]
enum Which {
    Train,
    Test,
}

#[derive(Subcommand)]
enum Command {
    /// Writes frames.npy (uint8, frames x 96 x 96) and labels.npy (uint8), every digit equally often
    Frames {
        /// Frames of each digit
        #[arg(long, default_value_t = 1)]
        each: u32,
        /// Folder to write into
        #[arg(long)]
        out: PathBuf,
    },
    /// Writes the drift baseline of digits picked at random: what their frames look like, and how often each is shown, which is how
    /// often a sound model names it
    Baseline {
        /// Frames to look at
        #[arg(long, default_value_t = 4000)]
        count: u32,
        /// File to write
        #[arg(long)]
        out: PathBuf,
    },
}

fn main() -> Result<()> {
    let args = Args::parse();
    let digits = match &args.digits {
        Some(path) => Digits::open(path)?,
        None => Digits::embedded()?,
    };
    let digits = digits.of(match args.split {
        Which::Train => Split::Train,
        Which::Test => Split::Test,
    });
    let mut camera = Camera::new(args.seed);
    match args.command {
        Command::Frames { each, out } => frames(&mut camera, &digits, each, &out),
        Command::Baseline { count, out } => baseline(&mut camera, &digits, count, &out),
    }
}

fn frames(camera: &mut Camera, digits: &[&Digit], each: u32, out: &Path) -> Result<()> {
    let mut frames = Vec::new();
    let mut labels = Vec::new();
    for digit in digits.iter().flat_map(|digit| std::iter::repeat_n(digit, each as usize)) {
        let frame = camera.render(digit);
        frames.extend(frame.pixels);
        labels.push(frame.label);
    }
    npy(&out.join("frames.npy"), &format!("({}, {FRAME_SIZE}, {FRAME_SIZE})", labels.len()), &frames)?;
    npy(&out.join("labels.npy"), &format!("({},)", labels.len()), &labels)
}

fn baseline(camera: &mut Camera, digits: &[&Digit], count: u32, out: &Path) -> Result<()> {
    let seen = IMAGE_FEATURES.iter().map(|&(name, unit)| Feature::numeric(name, unit));
    let named = Feature::categorical(format!("{OUTPUT_PREFIX}class"), (0..10).map(|label| label.to_string()).collect());
    let mut builder = BaselineBuilder::of(seen.chain([named]).collect());
    for _ in 0..count {
        let Some(frame) = camera.shoot(digits) else { bail!("there are no digits to show") };
        let [brightness, contrast, sharpness] = image_features(&frame.pixels, FRAME_SIZE, FRAME_SIZE, FRAME_SIZE)?.values();
        builder.push(&[brightness, contrast, sharpness, f64::from(frame.label)])?;
    }
    std::fs::write(out, builder.build()?.to_json()?).with_context(|| format!("cannot write {}", out.display()))
}

/// NumPy's format, version 1.0: magic, header length, a Python dict padded to 64 bytes, the elements.
fn npy(path: &Path, shape: &str, bytes: &[u8]) -> Result<()> {
    let mut header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}");
    let padding = 64 - (10 + header.len() + 1) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(b"\x93NUMPY\x01\x00")?;
        file.write_all(&(header.len() as u16).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        file.write_all(bytes)?;
        file.flush()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
