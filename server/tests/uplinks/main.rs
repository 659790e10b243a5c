//! One contract, whichever uplink carries it: the robot's side of each against the real control plane.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "clippy exempts test functions, not their helpers")]

mod broker;
mod broker_program;
#[path = "../common/mod.rs"]
mod common;
mod contract;
mod enrolled;
mod fallback;
mod faults;
mod http;
mod live;
mod mosquitto;
mod secure;
mod world;
mod zenoh;

/// The suite, once for each uplink.
macro_rules! contract {
    ($($name:ident: $way:ident,)*) => {$(
        mod $name {
            use crate::{contract, world::Way};

            #[tokio::test(flavor = "multi_thread")]
            async fn batches_are_stored_once_and_gaps_are_asked_for() {
                contract::batches(Way::$way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_log_that_was_cloned_has_to_begin_a_new_epoch() {
                contract::epochs(Way::$way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_new_connection_goes_on_where_the_last_one_was_acknowledged() {
                contract::reconnect(Way::$way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn desired_state_comes_at_once_and_again_on_a_new_connection() {
                contract::desired(Way::$way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn commands_come_until_the_robot_has_said_what_came_of_them() {
                contract::commands(Way::$way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_revoked_robot_is_cut_within_a_second_and_stays_out() {
                contract::revoked(Way::$way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_robot_cannot_pass_for_another() {
                contract::identity(Way::$way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn what_is_too_large_or_no_document_is_refused_and_nothing_else_suffers() {
                contract::refused(Way::$way).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_backlog_arrives_once_and_in_order() {
                contract::backlog(Way::$way).await;
            }
        }
    )*};
}

contract! {
    over_mqtt: Mqtt,
    over_http: Http,
    over_zenoh: Zenoh,
    over_mqtt_with_certificates: Mqtts,
    over_http_with_certificates: Https,
    over_a_broker: Broker,
}
