//! The command line.

use std::path::PathBuf;

/// Puts robots under faults for a while, lets all heal, and proves that nothing was lost or doubled.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "edgeflow_faults", version)]
pub struct Args {
    /// Seed of everything that is left to chance [default: another one each time].
    #[arg(long)]
    pub seed: Option<u64>,

    /// Number of robots.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub robots: u16,

    /// How long faults go on, minutes; a fraction is fine.
    #[arg(long, default_value_t = 1.5)]
    pub minutes: f64,

    /// Most that healing may take, minutes.
    #[arg(long, default_value_t = 3.0)]
    pub heal_minutes: f64,

    /// Folder for everything that is written [default: one of its own, removed when all held].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// Folder of the programs [default: where this program is].
    #[arg(long, value_name = "DIR")]
    pub bin_dir: Option<PathBuf>,

    /// Robots come with certificates, by MQTT, zenoh and HTTP; nothing is recorded and sent again then.
    #[arg(long)]
    pub tls: bool,

    /// Only print the schedule.
    #[arg(long)]
    pub dry: bool,
}
