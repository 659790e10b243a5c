//! Looks at the host and gives up the least valuable entries while it is short of something, so that the rest of the robot,
//! and what matters more in the log, goes on.

use edgeflow_policy::{Host, Survival, Thresholds};
use edgeflow_wire::{Class, EntryBody, SurvivalBody};
use procfs::{Current, CurrentSI, KernelStats, Meminfo};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};

use crate::{Recorder, policy::Valve};

const PERIOD: Duration = Duration::from_secs(2);
const MB: u64 = 1024 * 1024;

/// Says what the host has left.
pub(crate) trait Gauge: Send + 'static {
    fn read(&mut self) -> Host;
}

/// This machine.
pub(crate) struct Machine {
    data_dir: PathBuf,
    /// Time of all processors since boot, and of that the time in which they did something.
    before: Option<(u64, u64)>,
}

impl Machine {
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), before: None }
    }

    /// How busy the processors were since the last look.
    fn cpu_percent(&mut self) -> Option<f64> {
        let time = KernelStats::current().ok()?.total;
        let idle = time.idle + time.iowait.unwrap_or_default();
        let busy = time.user + time.nice + time.system + [time.irq, time.softirq, time.steal].into_iter().flatten().sum::<u64>();
        let now = (idle + busy, busy);
        let before = self.before.replace(now)?;
        let passed = now.0.checked_sub(before.0).filter(|passed| *passed > 0)?;
        Some(100.0 * now.1.saturating_sub(before.1) as f64 / passed as f64)
    }
}

impl Gauge for Machine {
    fn read(&mut self) -> Host {
        let memory = Meminfo::current().ok().and_then(|memory| memory.mem_available);
        let disk = rustix::fs::statvfs(&self.data_dir).ok().map(|room| room.f_bavail.saturating_mul(room.f_frsize));
        Host { cpu_percent: self.cpu_percent(), memory_mb: memory.map(|bytes| bytes / MB), disk_mb: disk.map(|bytes| bytes / MB) }
    }
}

/// Looks for ever; `now_us` is a clock that only runs forward.
pub(crate) async fn survive(
    mut gauge: impl Gauge,
    thresholds: Thresholds,
    period: Duration,
    mut now_us: impl FnMut() -> u64 + Send,
    valve: watch::Sender<Valve>,
    recorder: Recorder,
) {
    if thresholds == Thresholds::default() {
        return;
    }
    let mut survival = Survival::new(thresholds);
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shift) = survival.look(now_us(), gauge.read()) else { continue };
        valve.send_modify(|valve| valve.shed = shift.shed);
        tracing::warn!(shed = ?shift.shed, reason = shift.reason, "survival");
        let body = SurvivalBody { shed: shift.shed, reason: shift.reason };
        recorder.record_now(Class::Critical, EntryBody::Survival(body)).await;
    }
}

/// Looks at this machine for ever.
pub(crate) async fn survive_here(data_dir: PathBuf, thresholds: Thresholds, valve: watch::Sender<Valve>, recorder: Recorder) {
    let began = Instant::now();
    let now_us = move || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
    survive(Machine::new(&data_dir), thresholds, PERIOD, now_us, valve, recorder).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock, LogHandle};
    use edgeflow_uplink::{Backlog, Limits};
    use edgeflow_wire::{Content, LinkBody};

    /// Has as little memory as it is told.
    struct Told(watch::Receiver<u64>);

    impl Gauge for Told {
        fn read(&mut self) -> Host {
            Host { memory_mb: Some(*self.0.borrow()), ..Host::default() }
        }
    }

    #[test]
    fn this_machine_has_memory_and_room() {
        let dir = tempfile::tempdir().unwrap();
        let mut machine = Machine::new(dir.path());
        let host = machine.read();
        assert!(host.memory_mb.unwrap() > 0 && host.disk_mb.unwrap() > 0 && host.cpu_percent.is_none(), "{host:?}");
        // The kernel counts in hundredths of a second.
        let busy = std::iter::repeat_with(|| machine.read().cpu_percent).flatten().next().unwrap();
        assert!((0.0..=100.0).contains(&busy), "{busy}");
    }

    #[tokio::test]
    async fn a_short_host_keeps_what_matters_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::new().unwrap();
        let (mut log, _thread) = LogHandle::open(dir.path(), edgeflow_edge_log::Options::default(), clock).unwrap();
        let valve = watch::Sender::new(Valve::default());
        let recorder = Recorder::new(log.clone(), clock).guarded(valve.subscribe());
        let memory = watch::Sender::new(10);
        let thresholds = Thresholds { memory_mb: 100, ..Thresholds::default() };
        let told = Told(memory.subscribe());
        // Five seconds pass between two looks.
        let mut seconds = 0;
        let now_us = move || {
            seconds += 5;
            seconds * 1_000_000
        };
        let task = tokio::spawn(survive(told, thresholds, Duration::from_millis(1), now_us, valve.clone(), recorder.clone()));
        let mut watched = valve.subscribe();
        let link = |reason: &str| EntryBody::Link(LinkBody { connected: true, uplink: "test".into(), reason: reason.into() });
        watched.wait_for(|valve| valve.shed == Some(Class::Summary)).await.unwrap();
        for (class, reason) in [(Class::Detail, "detail"), (Class::Summary, "summary"), (Class::Event, "event")] {
            recorder.record_now(class, link(reason)).await;
        }
        memory.send_replace(1_000);
        watched.wait_for(|valve| valve.shed.is_none()).await.unwrap();
        recorder.record_now(Class::Detail, link("again")).await;
        let ends = *log.ends().wait_for(|ends| ends[Class::Detail as usize] > 1).await.unwrap();
        task.abort();
        let counts = [Class::Detail, Class::Summary, Class::Event].map(|class| ends[class as usize] - 1);
        assert_eq!(counts, [1, 0, 1]);
        let batch = log.read(Class::Critical, 1, Limits::default()).await.unwrap();
        let said: Vec<Option<Class>> = batch
            .entries
            .into_iter()
            .filter_map(|entry| match entry.content {
                Content::Known(EntryBody::Survival(body)) => Some(body.shed),
                _ => None,
            })
            .collect();
        assert_eq!(said, [Some(Class::Detail), Some(Class::Summary), Some(Class::Detail), None]);
    }
}
