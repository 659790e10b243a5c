//! Endpoints of types that were not compiled in.
//!
//! r2r makes an endpoint of a Rust type, asks that type for its type support, and asks nobody else: `subscribe_raw` and
//! `create_publisher_untyped`, which take a type's name, look it up among the types that r2r generated. So an endpoint here is one
//! of a [`Foreign`] type, with a C message in between: that is one conversion more each way than for a type that was compiled in,
//! whose octets r2r hands through, and octets that are no message of the type are refused instead of published.

use super::{
    Node, Subscription, fail,
    held::Held,
    quality, reading,
    spinner::Turn,
    typesupport::{Foreign, SLOTS, load},
};
use crate::{error::Result, qos::QosProfile};

/// A publisher of one of the slots.
pub(super) trait Outlet: Send {
    /// Publishes encapsulation and body.
    fn publish(&self, bytes: &[u8]) -> Result<(), String>;
    fn subscriber_count(&self) -> usize;
    fn destroy(self: Box<Self>, turn: &mut Turn);
}

struct Slot<const N: usize>(r2r::Publisher<Foreign<N>>);

impl<const N: usize> Outlet for Slot<N> {
    fn publish(&self, bytes: &[u8]) -> Result<(), String> {
        let mut message = Foreign::<N>::native(bytes)?;
        self.0.publish_native(&mut message).map_err(|error| error.to_string())
    }

    fn subscriber_count(&self) -> usize {
        self.0.get_inter_process_subscription_count().unwrap_or(0)
    }

    fn destroy(self: Box<Self>, turn: &mut Turn) {
        turn.node.destroy_publisher(self.0);
    }
}

fn publisher<const N: usize>(turn: &mut Turn, topic: &str, qos: QosProfile) -> r2r::Result<Box<dyn Outlet>> {
    Ok(Box::new(Slot(turn.node.create_publisher::<Foreign<N>>(topic, quality(qos))?)))
}

/// Takes what arrives: encapsulation and body, or why there are none.
pub(super) type Deliver = Box<dyn FnMut(Result<Vec<u8>, String>) + Send>;

fn subscribe<const N: usize>(turn: &mut Turn, topic: &str, qos: QosProfile, mut deliver: Deliver) -> r2r::Result<Subscription> {
    let stream = turn.node.subscribe::<Foreign<N>>(topic, reading(qos))?;
    Ok(turn.pump(stream, move |message| deliver(message.0)))
}

/// What makes endpoints of a slot.
struct Makers {
    publisher: fn(&mut Turn, &str, QosProfile) -> r2r::Result<Box<dyn Outlet>>,
    subscribe: fn(&mut Turn, &str, QosProfile, Deliver) -> r2r::Result<Subscription>,
}

macro_rules! makers {
    ($($slot:literal)*) => { [$(Makers { publisher: publisher::<$slot>, subscribe: subscribe::<$slot> }),*] };
}

static MAKERS: [Makers; SLOTS] = makers!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
);

impl Node {
    pub(super) fn foreign_publisher(&self, topic: &str, type_name: &str, hash: &str, qos: QosProfile) -> Result<Held<Box<dyn Outlet>>> {
        let (makers, name) = (&MAKERS[load(type_name, hash)?], topic.to_string());
        let created = self.spinner.with(move |turn| (makers.publisher)(turn, &name, qos))?;
        let created = created.map_err(fail(format!("publish {type_name} on {topic}")))?;
        Ok(Held::new(created, &self.spinner, |turn, outlet| outlet.destroy(turn)))
    }

    pub(super) fn foreign_subscribe(
        &self,
        topic: &str,
        type_name: &str,
        hash: &str,
        qos: QosProfile,
        deliver: Deliver,
    ) -> Result<Subscription> {
        let (makers, name) = (&MAKERS[load(type_name, hash)?], topic.to_string());
        let alive = self.spinner.with(move |turn| (makers.subscribe)(turn, &name, qos, deliver))?;
        alive.map_err(fail(format!("subscribe {type_name} on {topic}")))
    }
}
