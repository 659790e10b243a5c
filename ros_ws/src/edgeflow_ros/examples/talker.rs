//! A node that says hello. What there is to see here is all that a program needs so that it behaves as
//! ROS programs do: arguments, parameters, logs, and a clean end on SIGINT and SIGTERM.
//!
//! ```sh
//! cargo run -p edgeflow_ros --example talker -- --ros-args -r __ns:=/robot_1 -p rate_hz:=2.0 --log-level debug
//! ```

use edgeflow_ros::{Context, Node, QosProfile, init_tracing, shutdown_signal, std_msgs};
use std::{pin::pin, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut stop = pin!(shutdown_signal());
    let context = Context::create()?;
    init_tracing(&context);
    let node = Node::create(&context, "talker", "")?;
    let rate_hz: f64 = node.declare_parameter("rate_hz", 1.0, "Greetings per second.")?;
    let qos = node.publisher_qos("chatter", QosProfile::default())?;
    node.check_unknown_parameters()?;
    let publisher = node.create_publisher("chatter", qos)?;
    let mut tick = tokio::time::interval(Duration::try_from_secs_f64(1.0 / rate_hz)?);
    tracing::info!(rate_hz, "talking on {}", publisher.topic());
    for count in 1_u64.. {
        tokio::select! {
            _ = tick.tick() => {
                let greeting = std_msgs::msg::String { data: format!("Hello World: {count}") };
                publisher.publish(&greeting)?;
                tracing::info!("Publishing: '{}'", greeting.data);
                tracing::debug!(subscribers = publisher.subscriber_count(), "greeted");
            }
            signal = &mut stop => {
                signal?;
                break;
            }
        }
    }
    tracing::warn!("nobody greets any more");
    context.shutdown()?;
    Ok(())
}
