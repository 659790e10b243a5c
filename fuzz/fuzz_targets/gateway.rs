//! Whatever a client sends, its connection ends for a reason of its own: no panic, no hang, no error of the server's.
#![no_main]

use edgeflow_server::mqtt::{Outcome, feed::feed};
use std::time::Duration;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let outcome = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), feed(bytes)).await });
    assert_ne!(outcome.expect("it never ended"), Outcome::ServerError);
});
