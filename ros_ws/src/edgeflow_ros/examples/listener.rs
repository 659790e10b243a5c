//! A node that hears what `talker` says.
//!
//! ```sh
//! cargo run -p edgeflow_ros --example listener -- --ros-args -p qos_overrides./chatter.subscription.reliability:=best_effort
//! ```

use edgeflow_ros::{Context, Node, QosProfile, Queue, init_tracing, shutdown_signal, std_msgs};
use futures::StreamExt;
use std::pin::pin;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut stop = pin!(shutdown_signal());
    let context = Context::create()?;
    init_tracing(&context);
    let node = Node::create(&context, "listener", "")?;
    let qos = node.subscription_qos("chatter", QosProfile::default())?;
    node.check_unknown_parameters()?;
    let mut chatter = node.subscribe::<std_msgs::msg::String>("chatter", qos, Queue::all())?;
    tracing::info!(%qos, "listening on {}", chatter.topic());
    loop {
        tokio::select! {
            Some(greeting) = chatter.next() => tracing::info!("I heard: [{}]", greeting.data),
            signal = &mut stop => {
                signal?;
                break;
            }
        }
    }
    context.shutdown()?;
    Ok(())
}
