//! Live sessions: an operator's identity for as long as one lasts, and the command that has the robot begin it.
//!
//! The zenoh router's access control is read when it opens, and opening it anew cuts every robot off for a moment. So its rules
//! name a fixed number of *places*, each with a certificate name (`operator:{place}`) and keys of its own; a session takes a free
//! place and its operator gets a certificate of that name, which ends with the session. A place is free again when its
//! certificate has expired: whoever has a session reads and writes the keys of that session, and nobody else ever did or will
//! with a certificate that still says something. Only when an operator is cut off before that is the router opened anew.
//!
//! Nothing of this is durable: places have other names each time the control plane starts, so what was issued before opens nothing.

use edgeflow_core::{
    Principal, TargetName,
    command::CommandView,
    principal::{Action, Resource},
};
use edgeflow_wire::{LiveRequest, LiveTopic};
use serde::Serialize;
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

use crate::app::{App, AppError, auth::random_bytes};

/// Sessions at a time.
const PLACES: usize = 32;
/// The robot takes the command up within this time, or not at all, seconds.
const VALID_S: f64 = 30.0;
/// How much longer than its session a certificate lives: the robot begins when it hears of it.
const GRACE_US: i64 = 60_000_000;
/// Clocks that are behind by no more than this take a certificate at once.
const TOLERANCE_US: i64 = 300_000_000;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct LiveOrder {
    /// PKCS#10 certificate request for an ECDSA key on P-256, PEM.
    pub csr: String,
    /// Topics whose messages come from the robot.
    pub from_robot: Vec<String>,
    /// Topics on which the robot publishes what the operator sends.
    pub to_robot: Vec<LiveTopic>,
    /// How long, seconds.
    pub for_s: f64,
    /// Most messages a second of each topic.
    pub max_hz: f64,
    /// Most kilobits a second of each direction.
    pub max_kbps: u32,
}

/// A session that was opened.
#[derive(Debug, Clone)]
pub struct LiveOpened {
    /// What the robot was told.
    pub command: CommandView,
    /// The session, as shown.
    pub session: LiveView,
    /// The operator's certificate, PEM.
    pub certificate: String,
    /// The authority's certificate, PEM.
    pub ca: String,
    /// Port of the zenoh router.
    pub zenoh_port: u16,
}

/// A session as shown.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct LiveView {
    /// Its name.
    pub session: String,
    /// With which robot.
    pub target: String,
    /// Topics from the robot.
    pub from_robot: Vec<String>,
    /// Topics to the robot.
    pub to_robot: Vec<String>,
    /// When it was opened, microseconds since the Unix epoch.
    pub opened_us: i64,
    /// When it ends at the latest.
    pub until_us: i64,
    /// Who opened it.
    pub created_by: String,
    /// Whether somebody ended it before its time.
    pub ended: bool,
}

/// The places of sessions.
#[derive(Debug)]
pub(crate) struct Places {
    boot: String,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug)]
struct Inner {
    places: Vec<Place>,
    next: usize,
}

#[derive(Debug)]
struct Place {
    name: String,
    taken: Option<Taken>,
}

#[derive(Debug)]
struct Taken {
    session: LiveView,
    organisation: edgeflow_core::OrganisationId,
    /// When its certificate says nothing any more, and the place is free.
    free_us: i64,
}

impl Places {
    /// All free, under names that nobody had before.
    pub(crate) fn new() -> Result<Self, AppError> {
        let boot = hex::encode(random_bytes::<6>()?);
        let places = (0..PLACES).map(|number| Place { name: format!("{boot}-{number}"), taken: None }).collect();
        Ok(Self { boot, inner: Mutex::new(Inner { places, next: PLACES }), changed: Notify::new() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> BTreeSet<String> {
        self.lock().places.iter().map(|place| place.name.clone()).collect()
    }

    /// Takes a free place. `session` gets its name.
    fn take(&self, mut session: LiveView, organisation: edgeflow_core::OrganisationId, free_us: i64) -> Option<LiveView> {
        let mut inner = self.lock();
        let now_us = session.opened_us;
        let place = inner.places.iter_mut().find(|place| place.taken.as_ref().is_none_or(|taken| taken.free_us <= now_us))?;
        session.session.clone_from(&place.name);
        place.taken = Some(Taken { session: session.clone(), organisation, free_us });
        Some(session)
    }

    /// Gives a place back for which nothing was issued.
    fn give_back(&self, name: &str) {
        if let Some(place) = self.lock().places.iter_mut().find(|place| place.name == name) {
            place.taken = None;
        }
    }

    /// Ends a session. Its place stays taken until its certificate expires; when it is cut, nobody ever has that place again.
    fn end(&self, principal: &Principal, target: &TargetName, name: &str, cut: bool) -> Option<LiveView> {
        let mut inner = self.lock();
        let fresh = format!("{}-{}", self.boot, inner.next);
        let place = inner.places.iter_mut().find(|place| {
            place.name == name
                && place
                    .taken
                    .as_ref()
                    .is_some_and(|taken| taken.organisation == principal.organisation && taken.session.target == target.as_str())
        })?;
        let session = place.taken.as_mut().map(|taken| {
            taken.session.ended = true;
            taken.session.clone()
        });
        if cut {
            *place = Place { name: fresh, taken: None };
            inner.next += 1;
            drop(inner);
            self.changed.notify_one();
        }
        session
    }

    fn of(&self, principal: &Principal, target: &TargetName, now_us: i64) -> Vec<LiveView> {
        let inner = self.lock();
        let taken = inner.places.iter().filter_map(|place| place.taken.as_ref());
        let of = taken.filter(|taken| taken.organisation == principal.organisation && taken.session.target == target.as_str());
        of.map(|taken| taken.session.clone()).filter(|session| session.until_us > now_us && !session.ended).collect()
    }
}

/// The certificate name of a place. No robot's name has a colon.
pub(crate) fn certificate_name(place: &str) -> String {
    format!("operator:{place}")
}

impl App {
    /// Opens a session: the robot is told, and the operator may come to the router for as long as it lasts.
    pub async fn open_live(&self, principal: &Principal, name: &TargetName, order: LiveOrder) -> Result<LiveOpened, AppError> {
        self.permit(principal, Action::Live, Resource::Target(name.clone())).await?;
        let robot = self.readable(principal, name).await?;
        let zenoh = self.zenoh_address.get().ok_or_else(|| {
            AppError::Conflict("live sessions go over zenoh, and this control plane has no router: start it with --zenoh-listen".to_owned())
        })?;
        if !self.stands_by_common_name(&robot).await? {
            let reason = "has no certificate that the zenoh router lets in: enrol it with `edgeflow enroll`";
            return Err(AppError::Conflict(format!("{name} {reason}")));
        }
        let now_us = self.now_us();
        let ends_us = |for_s: f64| now_us.saturating_add((for_s.clamp(0.0, edgeflow_wire::MAX_LIVE_S) * 1e6) as i64);
        let until_us = ends_us(order.for_s);
        let session = LiveView {
            session: String::new(),
            target: name.to_string(),
            from_robot: order.from_robot.clone(),
            to_robot: order.to_robot.iter().map(|to| to.topic.clone()).collect(),
            opened_us: now_us,
            until_us,
            created_by: principal.who.to_string(),
            ended: false,
        };
        let taken = self.live.take(session, principal.organisation.clone(), until_us.saturating_add(GRACE_US));
        let session =
            taken.ok_or_else(|| AppError::Conflict(format!("{PLACES} live sessions are open already: wait until one's time is over")))?;
        let opened = self.begin_live(principal, name, &order, &session).await;
        let (command, certificate, fingerprint) = opened.inspect_err(|_| self.live.give_back(&session.session))?;
        let detail = serde_json::json!({
            "session": session.session, "from_robot": session.from_robot, "to_robot": session.to_robot, "for_s": order.for_s,
            "max_hz": order.max_hz, "max_kbps": order.max_kbps, "fingerprint": fingerprint,
        });
        self.record(principal, Action::Live, &format!("target/{name}"), detail).await;
        Ok(LiveOpened { command, session, certificate, ca: self.authority.ca_pem().to_owned(), zenoh_port: zenoh.port() })
    }

    async fn begin_live(
        &self,
        principal: &Principal,
        name: &TargetName,
        order: &LiveOrder,
        session: &LiveView,
    ) -> Result<(CommandView, String, String), AppError> {
        let (from_us, until_us) = (session.opened_us.saturating_sub(TOLERANCE_US), session.until_us.saturating_add(GRACE_US));
        let issued = self.authority.issue(&certificate_name(&session.session), &order.csr, from_us, until_us)?;
        let request = LiveRequest {
            session: session.session.clone(),
            for_s: order.for_s,
            from_robot: order.from_robot.clone(),
            to_robot: order.to_robot.clone(),
            max_hz: order.max_hz,
            max_kbps: order.max_kbps,
        };
        let command = self.command_robot(principal, name, action(&edgeflow_wire::Action::Live(request))?, Some(VALID_S)).await?;
        Ok((command, issued.pem, issued.fingerprint.to_string()))
    }

    /// Ends a session before its time: the robot is told. `cut`: its operator is shut out of the router too, for which the router
    /// opens anew.
    pub async fn end_live(&self, principal: &Principal, name: &TargetName, session: &str, cut: bool) -> Result<(), AppError> {
        self.permit(principal, Action::Live, Resource::Target(name.clone())).await?;
        let ended = self.live.end(principal, name, session, cut);
        ended.ok_or_else(|| AppError::NotFound { what: "live session", name: session.to_owned() })?;
        let end = edgeflow_wire::Action::EndLive { session: session.to_owned() };
        self.command_robot(principal, name, action(&end)?, Some(VALID_S)).await?;
        let detail = serde_json::json!({ "session": session, "ended": true, "cut": cut });
        self.record(principal, Action::Live, &format!("target/{name}"), detail).await;
        Ok(())
    }

    /// Sessions with a robot that last.
    pub async fn live(&self, principal: &Principal, name: &TargetName) -> Result<Vec<LiveView>, AppError> {
        self.readable(principal, name).await?;
        Ok(self.live.of(principal, name, self.now_us()))
    }

    /// Names of the places that the router's rules name.
    pub(crate) fn live_places(&self) -> BTreeSet<String> {
        self.live.names()
    }

    /// Returns when an operator was cut off.
    pub(crate) async fn live_cut(&self) {
        self.live.changed.notified().await;
    }
}

fn action(action: &edgeflow_wire::Action) -> Result<serde_json::Value, AppError> {
    serde_json::to_value(action).map_err(AppError::artifact("writing a command"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgeflow_core::OrganisationId;

    fn session(now_us: i64) -> LiveView {
        LiveView {
            session: String::new(),
            target: "robot-1".into(),
            from_robot: vec!["camera".into()],
            to_robot: vec![],
            opened_us: now_us,
            until_us: now_us + 10,
            created_by: "administrator".into(),
            ended: false,
        }
    }

    #[test]
    fn a_place_is_free_again_when_its_certificate_has_expired_and_never_after_a_cut() {
        let places = Places::new().unwrap();
        let (admin, robot) = (Principal::administrator(), TargetName::new("robot-1").unwrap());
        let take = |now_us: i64| places.take(session(now_us), OrganisationId::first(), now_us + 20).map(|session| session.session);
        let names: BTreeSet<String> = (0..PLACES).map(|_| take(0).unwrap()).collect();
        assert_eq!((names.len(), names == places.names(), take(19)), (PLACES, true, None));
        let first = names.first().unwrap();
        assert!(places.end(&admin, &robot, first, false).unwrap().ended);
        assert_eq!(take(19), None, "its certificate still opens the router");
        assert_eq!(places.of(&admin, &robot, 5).len(), PLACES - 1);
        assert!(places.end(&admin, &TargetName::new("robot-2").unwrap(), first, true).is_none(), "another robot's");
        places.end(&admin, &robot, first, true).unwrap();
        assert!(!places.names().contains(first));
        let fresh = take(19).unwrap();
        assert!(!names.contains(&fresh));
        assert!(names.contains(&take(20).unwrap()), "expired");
    }
}
