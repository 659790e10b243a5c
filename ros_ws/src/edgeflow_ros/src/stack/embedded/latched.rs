//! Subscriptions of what was said before they began, too.
//!
//! hiroz, like `rmw_zenoh_cpp`, asks for this history with a timeout of 585 million years. A router that is asked while a publisher's
//! connection ends can leave the question open for ever, and as long as it is open, whatever new publishers say is held back: the subscription
//! is deaf. So it is asked here, with a timeout.

use super::{Node, quality, raw::Subscription};
use crate::qos::{History, QosProfile, Reliability};
use hiroz::{
    TypeInfo,
    entity::{EndpointEntity, EndpointKind},
    qos::KEEP_ALL_CACHE_DEPTH,
};
use std::time::Duration;
use zenoh::{Wait, sample::Sample};
use zenoh_ext::{AdvancedSubscriberBuilderExt, HistoryConfig, RecoveryConfig};

/// An answer comes within milliseconds.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(5);

impl Node {
    /// `deliver` gets each sample on the transport's own thread.
    pub(super) fn subscribe_latched(
        &self,
        topic: &str,
        type_info: TypeInfo,
        qos: QosProfile,
        deliver: impl Fn(Sample) + Send + Sync + 'static,
    ) -> hiroz::Result<Subscription> {
        let entity = EndpointEntity {
            id: self.0.next_entity_id(),
            node: Some(self.0.node_entity().clone()),
            kind: EndpointKind::Subscription,
            topic: topic.to_owned(),
            type_info: Some(type_info),
            qos: quality(qos).to_protocol_qos(),
        };
        let (session, format) = (self.0.session(), self.0.keyexpr_format());
        let kept = match qos.history {
            History::KeepLast(depth) => depth.max(1),
            History::KeepAll => KEEP_ALL_CACHE_DEPTH,
        };
        let mut builder = session
            .declare_subscriber((*format.topic_key_expr(&entity)?).clone())
            .callback(deliver)
            .advanced()
            .history(HistoryConfig::default().detect_late_publishers().max_samples(kept))
            .query_timeout(HISTORY_TIMEOUT)
            .subscriber_detection();
        if qos.reliability == Reliability::Reliable {
            builder = builder.recovery(RecoveryConfig::default().heartbeat());
        }
        let subscriber = builder.wait()?;
        // How the graph knows of it.
        let token = session.liveliness().declare_token((*format.liveliness_key_expr(&entity, &session.zid())?).clone()).wait()?;
        Ok(Subscription::new((subscriber, token)))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Context, Node, QosProfile, Queue, router::Router, std_msgs::msg::String as Text};
    use futures::StreamExt;
    use std::time::Duration;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_publisher_that_is_gone_before_it_answers_makes_nobody_deaf() {
        let router = Router::start("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut config = zenoh::Config::default();
        config.insert_json5("mode", r#""client""#).unwrap();
        config.insert_json5("connect/endpoints", &format!(r#"["tcp/{}"]"#, router.addr())).unwrap();
        let session = zenoh::open(config).await.unwrap();
        // Whatever is asked of it stays in its queue.
        let _silent = session.declare_queryable("**/@adv/**").await.unwrap();

        let program = || Context::builder().router(router.addr()).build().unwrap();
        let (listener, talker) = (program(), program());
        let listener = Node::create(&listener, "listener", "").unwrap();
        let mut heard = listener.subscribe::<Text>("/said", QosProfile::latched(10), Queue::all()).unwrap();
        let talker = Node::create(&talker, "talker", "").unwrap();
        let said = talker.create_publisher::<Text>("/said", QosProfile::latched(10)).unwrap();
        said.publish(&Text { data: "hello".into() }).unwrap();
        let first = tokio::time::timeout(Duration::from_secs(60), heard.next()).await.expect("it is deaf").unwrap();
        assert_eq!(first.data, "hello");
    }
}
