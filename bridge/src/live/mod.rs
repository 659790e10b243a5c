//! Live forwarding: messages of this robot's topics to an operator who looks, and back, by a signed command of the control plane,
//! for a while. What may be forwarded is this robot's own to say, in both directions apart and nothing by default; a session ends
//! at its deadline by the time since boot, with or without a link.
//!
//! Messages travel through the control plane's zenoh router, on a connection that is opened for the session, whatever the uplink is.

#[cfg(feature = "zenoh")]
mod session;
#[cfg(feature = "zenoh")]
mod tap;

use edgeflow_ros::Node;
use edgeflow_wire::{CommandStatusBody, LiveRequest};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Config, Recorder, policy::Valve};

/// What may be forwarded live: names absolute or relative to the robot's namespace, `*` within a part, `**` over parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRules {
    /// Topics whose messages may go to operators.
    pub from_robot: Vec<String>,
    /// Topics on which operators may publish.
    pub to_robot: Vec<String>,
    /// Most kilobits a second of all sessions together, in each direction.
    pub max_kbps: u32,
}

impl Default for LiveRules {
    fn default() -> Self {
        Self { from_robot: Vec::new(), to_robot: Vec::new(), max_kbps: 4_000 }
    }
}

/// What is asked.
#[cfg_attr(not(feature = "zenoh"), expect(dead_code, reason = "sessions go over zenoh"))]
#[derive(Debug)]
pub(crate) enum Ask {
    Open(LiveRequest),
    /// End this session.
    End(String),
}

/// A command about live sessions, and where its end is told.
#[cfg_attr(not(feature = "zenoh"), expect(dead_code, reason = "sessions go over zenoh"))]
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) ask: Ask,
    pub(crate) answer: oneshot::Sender<CommandStatusBody>,
}

/// What live sessions need of others.
#[cfg_attr(not(feature = "zenoh"), expect(dead_code, reason = "sessions go over zenoh"))]
pub(crate) struct Means {
    pub(crate) node: Node,
    pub(crate) recorder: Recorder,
    pub(crate) valve: watch::Receiver<Valve>,
}

/// Runs sessions for ever.
#[cfg(feature = "zenoh")]
pub(crate) async fn run(config: Config, means: Means, requests: mpsc::Receiver<Request>) {
    host::Host::new(&config, means).run(requests).await;
}

/// Refuses all: a session needs zenoh.
#[cfg(not(feature = "zenoh"))]
pub(crate) async fn run(_config: Config, _means: Means, mut requests: mpsc::Receiver<Request>) {
    use crate::commands::status;
    use edgeflow_wire::CommandOutcome;
    while let Some(Request { id, answer, .. }) = requests.recv().await {
        let reason = "this bridge was built without zenoh, which live forwarding needs: build it with the feature zenoh";
        drop(answer.send(status(&id, CommandOutcome::Refused, reason)));
    }
}

#[cfg(feature = "zenoh")]
mod host {
    //! Who may open what, and how many.

    use super::{Ask, LiveRules, Means, Request, session::Session};
    use crate::{Config, commands::status};
    use edgeflow_uplink::live::{LiveConfig, Pem};
    use edgeflow_wire::{CommandOutcome, CommandStatusBody, LiveKeys, LiveRequest, Topics, name_matches};
    use std::collections::BTreeMap;
    use tokio::{
        sync::{mpsc, oneshot, watch},
        task::JoinSet,
    };

    /// Sessions at the same time.
    const MAX_SESSIONS: usize = 4;

    struct Active {
        max_kbps: u32,
        from_robot: Vec<String>,
        to_robot: Vec<String>,
        stop: watch::Sender<bool>,
    }

    pub(super) struct Host {
        means: Means,
        robot: String,
        rules: LiveRules,
        /// Where messages go, or why they cannot.
        door: Result<LiveConfig, String>,
        active: BTreeMap<String, Active>,
        running: JoinSet<String>,
    }

    impl Host {
        pub(super) fn new(config: &Config, means: Means) -> Self {
            let door = match &config.secure {
                Some(secure) => Ok(LiveConfig {
                    address: config.zenoh.clone(),
                    ca: Pem::File(secure.identity.ca()),
                    certificate: Pem::File(secure.identity.pem()),
                    key: Pem::File(secure.identity.pem()),
                }),
                None => Err("live forwarding goes through the control plane's zenoh router with the robot's certificate, and this robot \
                             has none: enrol it and set identity_dir"
                    .to_owned()),
            };
            let (active, running) = (BTreeMap::new(), JoinSet::new());
            Self { means, robot: config.robot.clone(), rules: config.live.clone(), door, active, running }
        }

        pub(super) async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
            loop {
                tokio::select! {
                    request = requests.recv() => match request {
                        Some(Request { id, ask: Ask::Open(request), answer }) => {
                            if let Err((reason, answer)) = self.open(&id, request, answer) {
                                drop(answer.send(status(&id, CommandOutcome::Refused, reason)));
                            }
                        }
                        Some(Request { id, ask: Ask::End(session), answer }) => drop(answer.send(self.end(&id, &session))),
                        None => return,
                    },
                    Some(ended) = self.running.join_next() => match ended {
                        Ok(session) => drop(self.active.remove(&session)),
                        Err(error) => tracing::error!(%error, "a live session ended badly"),
                    },
                }
            }
        }

        fn end(&self, id: &str, session: &str) -> CommandStatusBody {
            match self.active.get(session) {
                Some(active) => {
                    active.stop.send_replace(true);
                    status(id, CommandOutcome::Done, "")
                }
                None => status(id, CommandOutcome::Done, "there is no such session any more"),
            }
        }

        /// Begins a session; what it comes to is answered when it is connected, or is not.
        fn open(
            &mut self,
            id: &str,
            request: LiveRequest,
            answer: oneshot::Sender<CommandStatusBody>,
        ) -> Result<(), (String, oneshot::Sender<CommandStatusBody>)> {
            let (door, from_robot, to_robot, max_kbps) = match self.admit(&request) {
                Ok(admitted) => admitted,
                Err(reason) => return Err((reason, answer)),
            };
            let keys = Topics::new(&self.robot).ok().and_then(|robot| LiveKeys::of(&robot, &request.session));
            let Some(keys) = keys else { return Err((format!("{:?} is no name of a session", request.session), answer)) };
            let (name, stop) = (request.session.clone(), watch::Sender::new(false));
            let to: Vec<_> = to_robot.iter().cloned().zip(request.to_robot.into_iter().map(|topic| topic.type_name)).collect();
            let session = Session::new(&self.means, name.clone(), keys, door, request.for_s, (request.max_hz, max_kbps), &from_robot, to);
            self.active.insert(name.clone(), Active { max_kbps, from_robot, to_robot, stop: stop.clone() });
            let (id, stopped) = (id.to_owned(), stop.subscribe());
            self.running.spawn(async move {
                session.run(id, answer, stopped).await;
                name
            });
            Ok(())
        }

        /// The door, the absolute names and the kilobits a second of a session that may begin.
        fn admit(&self, request: &LiveRequest) -> Result<(LiveConfig, Vec<String>, Vec<String>, u32), String> {
            let door = self.door.clone()?;
            let allowed = |topic: &str, patterns: &[String], parameter: &str| {
                let absolute = self.means.node.resolve_topic(topic).map_err(|error| error.to_string())?;
                let named = patterns.iter().any(|pattern| name_matches(pattern, self.means.node.namespace(), &absolute));
                if named { Ok(absolute) } else { Err(format!("the topic {absolute} is not in this robot's parameter {parameter}")) }
            };
            let from_robot: Vec<String> = request
                .from_robot
                .iter()
                .map(|topic| allowed(topic, &self.rules.from_robot, "live_from_robot"))
                .collect::<Result<_, _>>()?;
            let to_robot: Vec<String> =
                request.to_robot.iter().map(|to| allowed(&to.topic, &self.rules.to_robot, "live_to_robot")).collect::<Result<_, _>>()?;
            let others = |pick: fn(&Active) -> &Vec<String>| self.active.values().flat_map(pick).collect::<Vec<_>>();
            let (others_from, others_to) = (others(|active| &active.from_robot), others(|active| &active.to_robot));
            let round = from_robot.iter().find(|topic| to_robot.contains(topic) || others_to.contains(topic));
            if let Some(topic) = round.or_else(|| to_robot.iter().find(|topic| others_from.contains(topic))) {
                return Err(format!("{topic} would be forwarded in both directions, and so go round for ever"));
            }
            if self.active.contains_key(&request.session) {
                return Err(format!("the session {} is there already", request.session));
            }
            if self.active.len() >= MAX_SESSIONS {
                return Err(format!("{MAX_SESSIONS} live sessions run on this robot already: end one"));
            }
            let given: u32 = self.active.values().map(|active| active.max_kbps).sum();
            match self.rules.max_kbps.saturating_sub(given) {
                0 => Err(format!("other sessions have all of this robot's live_max_kbps, {}: end one", self.rules.max_kbps)),
                left => Ok((door, from_robot, to_robot, request.max_kbps.min(left))),
            }
        }
    }
}
