//! The control plane's HTTP door, for all robots of a fleet: they share so many keep-alive connections, since a process may not open
//! one for each. What is asked and how long it took is counted here.

use edgeflow_wire::{LogAck, News, Upstream, Version, decode, encode};
use reqwest::{Client, RequestBuilder, StatusCode, header};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

use super::FleetError;

/// An encoded wire document.
const DOCUMENT: &str = "application/vnd.edgeflow.document+zstd";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Times are counted in quarters of an octave, from a microsecond on.
const TIMES: usize = 4 * 32;

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) token: String,
}

/// The way to the control plane.
pub(crate) struct Door {
    client: Client,
    base: RwLock<Arc<str>>,
    places: Semaphore,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    unanswered: AtomicU64,
    refused: AtomicU64,
    times: Times,
}

struct Times([AtomicU64; TIMES]);

impl Default for Times {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::default()))
    }
}

/// What came of a fleet's questions so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Questions and documents.
    pub asked: u64,
    /// Those without an answer: nobody listened, or not in time.
    pub unanswered: u64,
    /// Those that were answered with a refusal.
    pub refused: u64,
    /// Time to the whole answer, without the wait for a connection: how many of them, in quarters of an octave of microseconds.
    times: Vec<u64>,
}

impl Traffic {
    /// What came since.
    pub fn since(&self, before: &Traffic) -> Traffic {
        Traffic {
            asked: self.asked - before.asked,
            unanswered: self.unanswered - before.unanswered,
            refused: self.refused - before.refused,
            times: self.times.iter().zip(&before.times).map(|(now, then)| now - then).collect(),
        }
    }

    /// The time that such a share of answers stayed within, milliseconds, to a fifth; NaN when there were none.
    pub fn within_ms(&self, share: f64) -> f64 {
        let all: u64 = self.times.iter().sum();
        if all == 0 {
            return f64::NAN;
        }
        let mut rest = (all as f64 * share).ceil() as u64;
        for (place, count) in (1..).zip(&self.times) {
            rest = rest.saturating_sub(*count);
            if rest == 0 {
                return 2f64.powf(f64::from(place) / 4.0) / 1000.0;
            }
        }
        f64::NAN
    }
}

impl Door {
    pub(crate) fn new(base: &str, connections: usize) -> Result<Self, FleetError> {
        let client = Client::builder().http1_only().pool_max_idle_per_host(connections).tcp_nodelay(true).no_proxy().timeout(PATIENCE);
        let client = client.build().map_err(FleetError::Client)?;
        Ok(Self { client, base: RwLock::new(base.into()), places: Semaphore::new(connections), counts: Counts::default() })
    }

    /// The control plane is elsewhere from now on.
    pub(crate) fn lead_to(&self, base: &str) {
        *self.base.write().unwrap_or_else(PoisonError::into_inner) = base.into();
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let Counts { asked, unanswered, refused, times } = &self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Traffic { asked: read(asked), unanswered: read(unanswered), refused: read(refused), times: times.0.iter().map(read).collect() }
    }

    /// What is new for a robot that knows this; answered at once.
    pub(crate) async fn news(&self, who: &Who, known: Option<Version>) -> Option<News> {
        let known = known.map(|Version { server_epoch, generation }| format!("&server_epoch={server_epoch}&generation={generation}"));
        let leaf = format!("desired?wait_s=0{}", known.unwrap_or_default());
        let answer = self.ask(who, |client, base| client.get(format!("{base}/{leaf}"))).await?;
        match answer.as_slice() {
            [] => Some(News::default()),
            bytes => self.read(who, bytes),
        }
    }

    /// Brings a document and its acknowledgement back; `None` when there is none.
    pub(crate) async fn send(&self, who: &Who, document: &Upstream) -> Option<LogAck> {
        let document = match encode(document) {
            Ok(document) => document,
            Err(error) => {
                tracing::error!(robot = who.name, %error, "a document could not be written");
                return None;
            }
        };
        let post =
            |client: &Client, base: &str| client.post(format!("{base}/telemetry")).header(header::CONTENT_TYPE, DOCUMENT).body(document);
        let answer = self.ask(who, post).await?;
        self.read(who, &answer)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, who: &Who, bytes: &[u8]) -> Option<T> {
        decode(bytes)
            .inspect_err(|error| {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(robot = who.name, %error, "an answer cannot be read");
            })
            .ok()
    }

    async fn ask(&self, who: &Who, request: impl FnOnce(&Client, &str) -> RequestBuilder) -> Option<Vec<u8>> {
        let base = self.base.read().unwrap_or_else(PoisonError::into_inner).clone();
        let base = format!("{base}/api/v1/targets/{}", who.name);
        let _place = self.places.acquire().await.ok()?;
        self.counts.asked.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let answered = async {
            let answer = request(&self.client, &base).bearer_auth(&who.token).send().await?;
            Ok::<_, reqwest::Error>((answer.status(), answer.bytes().await?))
        };
        match answered.await {
            Ok((StatusCode::OK | StatusCode::NO_CONTENT, bytes)) => {
                let octaves = (began.elapsed().as_secs_f64() * 1e6).max(1.0).log2();
                if let Some(count) = self.counts.times.0.get((octaves * 4.0) as usize) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                Some(bytes.to_vec())
            }
            Ok((status, bytes)) => {
                self.counts.refused.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(robot = who.name, %status, said = %String::from_utf8_lossy(&bytes), "refused");
                None
            }
            Err(error) => {
                self.counts.unanswered.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(robot = who.name, %error, "no answer");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_times_are_read_to_a_fifth_and_of_what_came_since() {
        let counts = Counts::default();
        for micros in [100, 200, 300, 400, 500, 600, 700, 800, 900, 50_000_u32] {
            let place = (f64::from(micros).log2() * 4.0) as usize;
            counts.times.0[place].fetch_add(1, Ordering::Relaxed);
        }
        let times = counts.times.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let traffic = Traffic { asked: 10, unanswered: 1, refused: 0, times };
        let near = |ms: f64, true_ms: f64| (ms / true_ms - 1.0).abs() < 0.2;
        assert!(near(traffic.within_ms(0.5), 0.5) && near(traffic.within_ms(0.9), 0.9) && near(traffic.within_ms(1.0), 50.0));
        let nothing = traffic.since(&traffic);
        assert_eq!((nothing.asked, nothing.unanswered), (0, 0));
        assert!(nothing.within_ms(0.5).is_nan());
    }
}
