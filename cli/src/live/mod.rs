//! `edgeflow live`: topics of a robot on the graph of this desk while somebody looks, and topics of this desk on the robot.
//!
//! The control plane gives a certificate for the session and tells the robot; messages go through its zenoh router. They stay
//! the octets that they are: neither end needs to know their types.

mod site;

use clap::Args;
use edgeflow_identity::make_key;
use edgeflow_ros::router;
use edgeflow_uplink::{
    Backoff,
    live::{LiveConfig, LiveEnd, LiveHeard, Pem},
};
use edgeflow_wire::{LiveKeys, Topics};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{net::SocketAddr, pin::pin, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::{
    api::{Client, document, encode},
    error::CliError,
    output,
    ros::Graph,
    when::when,
};
use site::Site;

/// How often the control plane is asked whether the robot has begun.
const POLL: Duration = Duration::from_millis(200);
/// How often is shown what came and what did not.
const SHOW: Duration = Duration::from_secs(5);
/// A robot ends a session by itself; when it is not heard of any more, so much later.
const GRACE: Duration = Duration::from_secs(10);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_CAP: Duration = Duration::from_secs(3);

/// Arguments of `edgeflow live`.
#[derive(Args)]
#[command(after_help = "\
Examples:
  edgeflow live robot-07 /camera/image/compressed --for 5m --max-hz 5 --max-kbps 2000
      the camera appears here as /robot_07/camera/image/compressed, for RViz or `edgeflow ros topic echo`
  edgeflow live robot-07 /odom --to-robot /cmd_vel --for 2m
      what is published here on /robot_07/cmd_vel is published there on /cmd_vel
  edgeflow live robot-07 --to-robot /goal:geometry_msgs/msg/PoseStamped
      the type of a topic that nobody on the robot uses yet
  edgeflow live robot-07 --list
  edgeflow live robot-07 --end SESSION

The robot's parameters live_from_robot and live_to_robot say what may be forwarded; by default nothing may. A session ends by
itself, on the robot's own clock. When more is published than rate and bytes allow, the newest message is sent and the rest is
counted as left out.")]
pub(crate) struct LiveArguments {
    /// The robot.
    robot: String,
    /// Topics whose messages come here, absolute or relative to the robot's namespace.
    topics: Vec<String>,
    /// A topic whose messages go to the robot; its type only where nobody there uses the topic yet.
    #[arg(long, value_name = "TOPIC[:TYPE]")]
    to_robot: Vec<String>,
    /// How long, up to an hour: 90, 90s, 5m, 1h.
    #[arg(long = "for", value_name = "TIME", default_value = "5m", value_parser = seconds)]
    for_s: f64,
    /// Most messages a second of each topic.
    #[arg(long, value_name = "HZ", default_value_t = 5.0)]
    max_hz: f64,
    /// Most kilobits a second of all topics of a direction; the robot may grant less.
    #[arg(long, value_name = "KBPS", default_value_t = 2000)]
    max_kbps: u32,
    /// What the topics' names begin with here; the robot's name with underscores when not said.
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,
    /// The control plane's zenoh router, when it is not on the host of EDGEFLOW_URL at the port that the control plane says.
    #[arg(long, value_name = "HOST:PORT")]
    zenoh: Option<String>,
    /// Address of the ROS router of this desk.
    #[arg(long, value_name = "HOST:PORT", env = router::ENVIRONMENT, default_value_t = router::DEFAULT_ADDRESS)]
    router: SocketAddr,
    /// Show the sessions with the robot.
    #[arg(long, conflicts_with_all = ["topics", "to_robot", "end"])]
    list: bool,
    /// End a session, whoever opened it, and shut its operator out of the zenoh router (robots connect to it anew).
    #[arg(long, value_name = "SESSION", conflicts_with_all = ["topics", "to_robot"])]
    end: Option<String>,
}

fn seconds(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.char_indices().next_back() {
        Some((at, unit @ ('s' | 'm' | 'h'))) => (text.get(..at).unwrap_or_default(), unit),
        _ => (text, 's'),
    };
    let factor = match unit {
        'm' => 60.0,
        'h' => 3_600.0,
        _ => 1.0,
    };
    match number.parse::<f64>() {
        Ok(number) if number > 0.0 && number * factor <= edgeflow_wire::MAX_LIVE_S => Ok(number * factor),
        Ok(_) => Err("must be above 0 and at most 1h".to_owned()),
        Err(_) => Err("must be a time such as 90s, 5m or 1h".to_owned()),
    }
}

#[derive(Deserialize)]
struct Opened {
    session: Session,
    command: Command,
    certificate: String,
    ca: String,
    zenoh_port: u16,
}

#[derive(Deserialize)]
struct Session {
    session: String,
    #[serde(default)]
    from_robot: Vec<String>,
    #[serde(default)]
    to_robot: Vec<String>,
    until_us: i64,
    created_by: String,
}

#[derive(Deserialize)]
struct Command {
    id: String,
    state: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    result: Value,
}

/// Runs `edgeflow live`.
pub(crate) async fn live(arguments: LiveArguments) -> Result<(), CliError> {
    let client = Client::from_environment()?;
    let path = format!("/targets/{}/live", encode(&arguments.robot));
    if arguments.list {
        let sessions: Vec<Session> = document(client.get(&path, &[]).await?, &path)?;
        let rows = sessions
            .into_iter()
            .map(|one| [one.session, when(one.until_us), one.from_robot.join(" "), one.to_robot.join(" "), one.created_by]);
        return output::table(["SESSION", "UNTIL", "FROM ROBOT", "TO ROBOT", "BY"], &rows.collect::<Vec<_>>());
    }
    if let Some(session) = &arguments.end {
        client.delete(&format!("{path}/{}?cut=true", encode(session))).await?;
        return output::line(format!("{session} is ended"));
    }
    let topics =
        Topics::new(&arguments.robot).map_err(|error| CliError::Input { path: arguments.robot.clone(), reason: error.to_string() })?;
    // Asked first: without a graph here there is nothing to show.
    let graph = Graph::join(arguments.router).await?;
    let key = make_key("operator")?;
    let to_robot: Vec<Value> = arguments.to_robot.iter().map(|to| to_robot(to)).collect();
    let order = json!({
        "csr": key.request_pem, "from_robot": arguments.topics, "to_robot": to_robot, "for_s": arguments.for_s,
        "max_hz": arguments.max_hz, "max_kbps": arguments.max_kbps,
    });
    let opened: Opened = document(client.post(&path, &order).await?, &path)?;
    let session = opened.session.session.clone();
    let mut stop = pin!(edgeflow_ros::shutdown_signal());
    let end = async || client.delete(&format!("{path}/{}", encode(&session))).await.map(drop);
    let began = tokio::select! {
        began = begun(&client, &arguments.robot, opened.command) => began,
        signal = &mut stop => {
            end().await?;
            return signal.map_err(CliError::Signals);
        }
    };
    let told = match began {
        Ok(told) => told,
        Err(error) => {
            // It may still begin, and nobody would look.
            drop(end().await);
            return Err(error);
        }
    };
    let granted = told.get("max_kbps").and_then(Value::as_u64).unwrap_or(arguments.max_kbps.into());
    output::line(format!(
        "live session {session} with {} for {} s: at most {} messages a second of each topic, {granted} kbit/s; Ctrl-C ends it",
        arguments.robot, arguments.for_s, arguments.max_hz
    ))?;
    let keys = LiveKeys::of(&topics, &session);
    let keys = keys.ok_or_else(|| CliError::Input { path: "session".into(), reason: format!("{session:?} is no name of one") })?;
    let address = match &arguments.zenoh {
        Some(address) => address.clone(),
        None => format!("{}:{}", client.host(), opened.zenoh_port),
    };
    let door = LiveConfig { address, ca: Pem::Text(opened.ca), certificate: Pem::Text(opened.certificate), key: Pem::Text(key.key_pem) };
    let prefix =
        arguments.prefix.as_deref().map_or_else(|| site::prefix(&arguments.robot), |given| format!("/{}", given.trim_matches('/')));
    let mut site = Site::new(&graph.node, prefix, arguments.max_hz, u32::try_from(granted).unwrap_or(u32::MAX));
    let until = Instant::now() + Duration::from_secs_f64(arguments.for_s) + GRACE;
    // A control plane that does not answer has ended nothing.
    let is_over = async || match client.get(&path, &[]).await.and_then(|list| document::<Vec<Session>>(list, &path)) {
        Ok(sessions) => sessions.iter().all(|one| one.session != session),
        Err(_) => false,
    };
    let reason = tokio::select! {
        reason = carry(&door, &keys, &mut site, until, is_over) => reason?,
        signal = &mut stop => {
            signal.map_err(CliError::Signals)?;
            end().await?;
            "it was ended here".to_owned()
        }
    };
    output::text(&site.shown())?;
    output::line(format!("live session {session} ended: {reason}"))?;
    graph.leave()
}

/// `/goal:geometry_msgs/msg/PoseStamped`
fn to_robot(text: &str) -> Value {
    match text.split_once(':') {
        Some((topic, ty)) => json!({ "topic": topic, "type": ty }),
        None => json!({ "topic": text }),
    }
}

/// Waits until the robot has begun; what it says of it.
async fn begun(client: &Client, robot: &str, mut command: Command) -> Result<Value, CliError> {
    let path = format!("/targets/{}/commands/{}", encode(robot), encode(&command.id));
    while command.state == "pending" {
        sleep(POLL).await;
        command = document(client.get(&path, &[]).await?, &path)?;
    }
    match command.state.as_str() {
        "done" => Ok(command.result),
        _ => Err(CliError::Command { id: command.id, state: command.state, message: command.message }),
    }
}

/// Carries messages until the session has ended, over as many connections as that takes. Returns why it has. After each connection
/// that is lost the control plane is asked whether the session is over.
async fn carry(
    door: &LiveConfig,
    keys: &LiveKeys,
    site: &mut Site,
    until: Instant,
    is_over: impl AsyncFn() -> bool,
) -> Result<String, CliError> {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_CAP);
    let mut told = String::new();
    loop {
        let connected = tokio::select! {
            connected = LiveEnd::operator(door, keys.clone()) => connected,
            () = sleep_until(until) => return Ok("its time is over".to_owned()),
        };
        match connected {
            Ok(mut end) => {
                backoff.reset();
                let ended = exchange(&mut end, site, until).await?;
                end.close().await;
                if let Some(reason) = ended {
                    return Ok(reason);
                }
                if is_over().await {
                    return Ok("it was ended at the control plane".to_owned());
                }
                eprintln!("edgeflow: the connection to {} was lost; connecting again", door.address);
            }
            Err(reason) => {
                if reason != told {
                    eprintln!("edgeflow: {reason}; trying again");
                    told = reason;
                }
            }
        }
        sleep(backoff.delay()).await;
    }
}

async fn exchange(end: &mut LiveEnd, site: &mut Site, until: Instant) -> Result<Option<String>, CliError> {
    let mut show = interval(SHOW);
    show.set_missed_tick_behavior(MissedTickBehavior::Delay);
    show.reset();
    loop {
        while let Some((lane, mark, body)) = site.next() {
            end.send(lane, mark, body).await;
        }
        let ready_at = site.ready_at();
        tokio::select! {
            heard = end.heard() => match heard {
                LiveHeard::About(about) => {
                    let ended = about.ended.clone();
                    site.learn(about)?;
                    if ended.is_some() {
                        return Ok(ended);
                    }
                }
                LiveHeard::Message { lane, mark, body } => site.republish(lane, mark, &body),
                LiveHeard::Operator(_) => {}
                LiveHeard::Lost => return Ok(None),
            },
            () = site.came() => {}
            () = sleep_until(ready_at.unwrap_or_else(Instant::now)), if ready_at.is_some() => {}
            _ = show.tick() => output::text(&site.shown())?,
            () = sleep_until(until) => return Ok(Some("its time is over".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{seconds, to_robot};
    use serde_json::json;

    #[test]
    fn times_are_seconds_minutes_or_hours() {
        for (text, is) in [("90", 90.0), ("90s", 90.0), ("5m", 300.0), ("1h", 3600.0), ("0.5m", 30.0)] {
            assert_eq!(seconds(text), Ok(is), "{text}");
        }
        for text in ["", "m", "0", "-1s", "2h", "5 m", "5d", "é"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_topic_to_the_robot_may_name_its_type() {
        assert_eq!(to_robot("/cmd_vel"), json!({"topic": "/cmd_vel"}));
        assert_eq!(to_robot("goal:a/msg/B"), json!({"topic": "goal", "type": "a/msg/B"}));
    }
}
