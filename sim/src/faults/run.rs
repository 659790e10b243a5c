//! One run: start everything, let faults happen, let all heal, judge.

use edgeflow_ros::router::Router;
use futures::future::try_join_all;
use rand::Rng;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::check::{Account, Answer, Evidence, Named, Stored, check};
use super::machine::{FakeClock, SmallDisk, can_mount, find_faketime};
use super::process::run_to_end;
use super::robot::{Counting, Make, Parts, Proof, Robot, Ways, clone_name};
use super::schedule::{Capabilities, Fault, Planned, name_of, schedule};
use super::server::Server;
use super::table::{Row, table};
use super::{Args, FaultsError};
use crate::demo::args::Paths;
use crate::demo::control_plane::ControlPlane;
use crate::demo::launch::Launch;
use crate::with_causes;

/// How long everything may take to come up.
const COMING_UP: Duration = Duration::from_secs(180);
/// Between two words on how it goes.
const PROGRESS: Duration = Duration::from_secs(10);
/// Between two looks at the robots.
const LOOK: Duration = Duration::from_millis(500);
/// Programs that are started.
const PROGRAMS: [&str; 3] = ["edgeflow-server", "bridge_node", "edgeflow"];

/// Runs, prints what happens and what came of it. 0 when all held. Call it from the main thread: the programs it starts are bound to
/// that thread's life.
#[allow(clippy::print_stdout)] // progress and verdict are what the program is for
pub async fn run(args: Args) -> ExitCode {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::rng().random::<u32>()));
    println!("seed {seed}");
    let outcome = tokio::select! {
        outcome = stand(&args, seed) => outcome,
        _ = edgeflow_ros::shutdown_signal() => Err(FaultsError::Interrupted),
    };
    let tls = if args.tls { " --tls" } else { "" };
    let again = format!("cargo xtask soak --seed {seed} --robots {} --minutes {}{tls}", args.robots, args.minutes);
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            println!("did not hold; again with: {again}");
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("failed: {}; again with: {again}", with_causes(&error));
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout)]
async fn stand(args: &Args, seed: u64) -> Result<bool, FaultsError> {
    let lasts = Duration::try_from_secs_f64(args.minutes * 60.0).unwrap_or_default();
    let (faketime, mount) = (find_faketime(), can_mount());
    for reason in [faketime.as_ref().err(), mount.as_ref().err()].into_iter().flatten() {
        println!("skipped: {reason}");
    }
    let can = |index: usize| {
        let (disk, clock) = (mount.is_ok() && index % 10 == 3, faketime.is_ok() && index % 4 == 1);
        Capabilities { disk, open_disk: !disk, clock, replay: !args.tls }
    };
    let capabilities: Vec<Capabilities> = (0..usize::from(args.robots)).map(can).collect();
    let planned = schedule(seed, &capabilities, lasts);
    for fault in &planned {
        println!("{fault}");
    }
    if args.dry {
        return Ok(true);
    }
    let folder = Folder::make(args, seed)?;
    let paths =
        Paths { bin_dir: bin_dir(args)?, data_dir: folder.path.clone(), models_dir: PathBuf::new(), data_file: None, onnxruntime: None };
    let router = Router::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).map_err(FaultsError::Router)?;
    let launch = Launch { paths: &paths, router: router.addr(), rate_hz: 1.0, drift_window_frames: 100 };
    let mut run = Run::start(&launch, &folder.path, seed, &capabilities, (faketime.ok().as_deref(), args.tls)).await?;
    let outcome = run.go(&planned, lasts, Duration::try_from_secs_f64(args.heal_minutes * 60.0).unwrap_or_default()).await;
    run.stop().await;
    drop(router);
    if let Ok(true) = outcome {
        folder.remove(args.data_dir.is_some());
    } else {
        println!("logs and data are left in {}", folder.path.display());
    }
    outcome
}

/// Where everything is written.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make(args: &Args, seed: u64) -> Result<Self, FaultsError> {
        // Short: the path of a Unix socket has 108 bytes.
        let own = || std::env::temp_dir().join(format!("edgeflow-faults-{seed}-{}", std::process::id()));
        let path = args.data_dir.clone().unwrap_or_else(own);
        let path = std::path::absolute(&path).unwrap_or(path);
        make(&path.join("logs"))?;
        Ok(Self { path })
    }

    fn remove(&self, is_theirs: bool) {
        if !is_theirs && let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "could not remove the folder of this run");
        }
    }
}

fn make(folder: &Path) -> Result<(), FaultsError> {
    std::fs::create_dir_all(folder).map_err(|source| FaultsError::File { action: "make a folder", path: folder.to_owned(), source })
}

fn bin_dir(args: &Args) -> Result<PathBuf, FaultsError> {
    let own = || std::env::current_exe().ok().and_then(|exe| exe.parent().map(PathBuf::from)).unwrap_or_default();
    let folder = args.bin_dir.clone().unwrap_or_else(own);
    match PROGRAMS.iter().map(|program| folder.join(program)).find(|path| !path.is_file()) {
        Some(path) => Err(FaultsError::Missing { path }),
        None => Ok(folder),
    }
}

/// Everything that runs.
struct Run {
    seed: u64,
    server: Server,
    robots: Vec<Robot>,
}

impl Run {
    async fn start(
        launch: &Launch<'_>,
        folder: &Path,
        seed: u64,
        capabilities: &[Capabilities],
        (faketime, tls): (Option<&Path>, bool),
    ) -> Result<Self, FaultsError> {
        let logs = folder.join("logs");
        let admin_token = format!("faults-{:032x}", rand::rng().random::<u128>());
        let server = Server::start(launch, &folder.join("server"), &logs, &admin_token, tls).await?;
        let control_plane = server.client()?;
        let mut robots = Vec::new();
        for (index, can) in capabilities.iter().enumerate() {
            let name = name_of(index);
            let folder = folder.join(&name);
            make(&folder.join("bridge"))?;
            let token = control_plane.enrol(&name).await.map_err(FaultsError::ControlPlane)?.token;
            let proof = if tls {
                let (secret, identity) = (folder.join("bootstrap"), folder.join("identity"));
                let bootstrap = control_plane.bootstrap(&name).await.map_err(FaultsError::ControlPlane)?;
                super::robot::write_secret(&secret, &bootstrap.token)?;
                run_to_end(&launch.enroll(&name, &secret, server.doors(), &identity), &logs).await?;
                Proof::Identity(identity)
            } else {
                Proof::Token(token)
            };
            let clock = faketime.filter(|_| can.clock).map(|library| FakeClock::new(library.to_owned(), &folder)).transpose()?;
            let disk = if can.disk { Some(SmallDisk::mount(&name, &folder.join("bridge"), &logs).await?) } else { None };
            let uplinks = match (tls, index % 5) {
                (false, 4) => "http, mqtt",
                (false, _) | (true, 0 | 3) => "mqtt, http",
                (true, 1) => "zenoh, mqtt, http",
                (true, 2) => "zenoh, http",
                (true, _) => "http, zenoh",
            };
            let make = Make { crowded: index % 10 == 7, uplinks };
            let robot = Robot::new(Parts { launch, index, seed, folder: &folder, logs: &logs, proof, make, clock, disk }).await?;
            robots.push(robot);
        }
        Ok(Self { seed, server, robots })
    }

    #[allow(clippy::print_stdout)]
    async fn go(&mut self, planned: &[Planned], lasts: Duration, heal: Duration) -> Result<bool, FaultsError> {
        let began = Instant::now();
        let ways: Vec<_> = self.robots.iter().map(Robot::ways).collect();
        self.server.announce(&ways);
        for robot in &mut self.robots {
            robot.start()?;
        }
        self.settled(COMING_UP, "come up").await?;
        println!("{} robots are connected after {:.1} s", self.robots.len(), began.elapsed().as_secs_f64());

        let stop = CancellationToken::new();
        let mut producing = Vec::new();
        for (robot, seed) in self.robots.iter().zip(self.seed..) {
            producing.push(robot.produce(seed, stop.clone()));
        }
        let suffered = self.suffer(planned, lasts, &ways).await;
        stop.cancel();
        for producer in producing {
            drop(producer.await);
        }
        let suffered = suffered?;
        println!("all is mended; waiting until every robot's log has reached the control plane");
        let began = Instant::now();
        let settled = self.settled(heal, "be taken whole").await;
        if let Err(error) = &settled {
            println!("{}", with_causes(error));
        } else {
            println!("healed after {:.1} s", began.elapsed().as_secs_f64());
        }
        let appended = self.appended().await;
        for robot in &mut self.robots {
            robot.stop().await;
        }
        let rows = self.judge(&suffered, &appended).await?;
        let kills = planned.iter().filter(|planned| planned.fault == Fault::KillServer).count();
        println!("{}", table(&rows, u32::try_from(kills).unwrap_or(u32::MAX)));
        Ok(settled.is_ok() && rows.iter().all(|row| row.verdict.wrong.is_empty()))
    }

    /// Lets everything happen that is planned. Gives what each robot suffered.
    async fn suffer(
        &mut self,
        planned: &[Planned],
        lasts: Duration,
        ways: &[std::sync::Arc<Ways>],
    ) -> Result<Vec<BTreeMap<&'static str, u32>>, FaultsError> {
        let begin = Instant::now();
        let of = |robot: Option<usize>| planned.iter().filter(move |planned| planned.robot == robot).copied();
        let counting: Vec<Counting> = self.robots.iter().map(Robot::counting).collect();
        let seed = self.seed;
        let lives = self.robots.iter_mut().enumerate().map(|(index, robot)| live(robot, of(Some(index)).collect(), begin, seed));
        let server = die_and_rise(&mut self.server, of(None).collect(), begin, ways);
        let all = async {
            let end = async {
                tokio::time::sleep_until(begin + lasts).await;
                Ok(())
            };
            tokio::try_join!(try_join_all(lives), server, end).map(|(suffered, (), ())| suffered)
        };
        tokio::select! {
            suffered = all => suffered,
            () = tell(&counting, begin, lasts) => Ok(Vec::new()),
        }
    }

    /// Waits until every robot is connected and the control plane has acknowledged all it has.
    async fn settled(&mut self, within: Duration, what: &str) -> Result<(), FaultsError> {
        let deadline = Instant::now() + within;
        loop {
            self.server.still_runs()?;
            let mut open = Vec::new();
            for robot in &mut self.robots {
                robot.still_runs()?;
                match robot.status().await {
                    Some(status) => {
                        let waiting: u64 = status.classes.iter().map(|class| class.appended.saturating_sub(class.acknowledged)).sum();
                        if !status.connected || waiting > 0 {
                            open.push(format!("{} (connected: {}, {waiting} entries)", robot.name, status.connected));
                        }
                    }
                    None => open.push(format!("{} (its bridge does not answer)", robot.name)),
                }
            }
            if open.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let limit_s = within.as_secs();
                return Err(FaultsError::Deadline { what: what.to_owned(), limit_s, seen: open.join(", ") });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// By robot: the epoch of its log, and how much was appended to each class.
    async fn appended(&self) -> Vec<Option<(String, BTreeMap<String, u64>)>> {
        let mut appended = Vec::new();
        for robot in &self.robots {
            let counts = |status: super::robot::Status| {
                (status.epoch, status.classes.into_iter().map(|class| (class.class, class.appended)).collect())
            };
            appended.push(robot.status().await.map(counts));
        }
        appended
    }

    async fn judge(
        &self,
        suffered: &[BTreeMap<&'static str, u32>],
        appended: &[Option<(String, BTreeMap<String, u64>)>],
    ) -> Result<Vec<Row>, FaultsError> {
        let control_plane = self.server.client()?;
        let mut rows = Vec::new();
        for (index, robot) in self.robots.iter().enumerate() {
            let evidence = evidence(&control_plane, robot, "faults", robot.answers()).await.map_err(FaultsError::ControlPlane)?;
            let mut verdict = check(&evidence);
            for (nth, said) in robot.clones().iter().enumerate() {
                // What a clone said may be gone with it, but not be there twice.
                let (source, answers) = (clone_name(nth), vec![Answer::None; usize::try_from(*said).unwrap_or(usize::MAX)]);
                let clone = self::evidence(&control_plane, robot, &source, answers).await.map_err(FaultsError::ControlPlane)?;
                let wrong = check(&clone).wrong.into_iter().filter(|wrong| !verdict.wrong.contains(wrong)).collect::<Vec<_>>();
                verdict.wrong.extend(wrong.into_iter().map(|wrong| format!("of {source}: {wrong}")));
            }
            // What the bridge says it has written must be accounted for, whatever kind it is.
            for (epoch, counts) in appended.get(index).iter().copied().flatten() {
                for (class, count) in counts {
                    let account = evidence.accounts.iter().find(|account| account.epoch == *epoch && account.class == *class);
                    let taken = account.map_or(0, |account| account.next_seq - 1);
                    if taken < *count {
                        verdict.wrong.push(format!("{class}: the robot has written {count} entries, the control plane knows of {taken}"));
                    }
                }
            }
            rows.push(Row { name: robot.name.clone(), suffered: suffered.get(index).cloned().unwrap_or_default(), verdict });
        }
        Ok(rows)
    }

    async fn stop(&mut self) {
        for robot in &mut self.robots {
            robot.stop().await;
        }
        self.server.stop().await;
    }
}

/// One robot's faults, one after the other.
async fn live(robot: &mut Robot, planned: Vec<Planned>, begin: Instant, seed: u64) -> Result<BTreeMap<&'static str, u32>, FaultsError> {
    let mut suffered = BTreeMap::new();
    for (fault, nth) in planned.into_iter().zip(0_u64..) {
        tokio::time::sleep_until(begin + fault.at).await;
        robot.still_runs()?;
        let told = robot.suffer(fault, seed ^ nth).await?;
        tracing::info!("{fault}: over  {told}");
        *suffered.entry(fault.fault.name()).or_default() += 1;
    }
    Ok(suffered)
}

/// The control plane's deaths.
async fn die_and_rise(
    server: &mut Server,
    planned: Vec<Planned>,
    begin: Instant,
    ways: &[std::sync::Arc<Ways>],
) -> Result<(), FaultsError> {
    for fault in planned {
        tokio::time::sleep_until(begin + fault.at).await;
        server.still_runs()?;
        server.kill().await;
        tokio::time::sleep(fault.lasts).await;
        server.restart().await?;
        server.announce(ways);
        tracing::info!("{fault}: over");
    }
    Ok(())
}

/// Says how it goes, for ever.
#[allow(clippy::print_stdout)]
async fn tell(counting: &[Counting], begin: Instant, lasts: Duration) {
    loop {
        tokio::time::sleep(PROGRESS).await;
        let counts: Vec<(usize, usize)> = counting.iter().map(Counting::counts).collect();
        let (events, durable) = counts.iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        println!("{:>6.0} of {:.0} s: {events} events, {durable} of them durable", begin.elapsed().as_secs_f64(), lasts.as_secs_f64());
    }
}

/// What the control plane holds of a robot, and what those were told who said something from this source.
async fn evidence(
    control_plane: &ControlPlane,
    robot: &Robot,
    source: &str,
    answers: Vec<Answer>,
) -> Result<Evidence, crate::demo::DemoError> {
    let log = control_plane.log(&robot.name).await?;
    let mut stored = Vec::new();
    for class in edgeflow_wire::Class::ALL {
        for entry in control_plane.entries(&robot.name, ("class", class.as_str())).await? {
            let ours = entry.body.get("source").is_some_and(|said| said == source);
            let n = entry.body.pointer("/data/n").and_then(serde_json::Value::as_u64).filter(|_| ours);
            let in_place = entry.kind == "damaged";
            stored.push(Stored { epoch: entry.epoch, class: entry.class, seq: entry.seq, n, in_place });
        }
    }
    let account = |class: crate::demo::control_plane::LogClass| Account {
        epoch: class.epoch,
        class: class.class,
        next_seq: class.next_seq,
        stored: class.stored,
        lost: class.lost,
    };
    let named = |loss: crate::demo::control_plane::Loss| Named {
        epoch: loss.epoch,
        class: loss.class,
        first_seq: loss.first_seq,
        last_seq: loss.last_seq,
        at_most: loss.cause == "log_damaged_at_most",
    };
    let losses = control_plane.losses(&robot.name).await?.into_iter().map(named).collect();
    let (accounts, cloned) = (log.classes.into_iter().map(account).collect(), !robot.clones().is_empty());
    Ok(Evidence { answers, stored, accounts, losses, cloned })
}
