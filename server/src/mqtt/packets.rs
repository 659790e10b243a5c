//! MQTT packets over a byte stream, with buffers that hold no more than what has really arrived.

use bytes::BytesMut;
use rumqttc::mqttbytes::{self, v4::Packet};
use std::{io, time::Duration};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{
    metrics::Outcome,
    v5::{self, V5},
};

const READ_STEP: usize = 1024;
/// How long a client that is cut may take to hear why.
const FAREWELL_TIMEOUT: Duration = Duration::from_millis(200);

/// Why a connection ends: what is counted, and what the log says.
#[derive(Debug)]
pub(super) struct End {
    pub(super) outcome: Outcome,
    pub(super) reason: String,
}

impl End {
    pub(super) fn new(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self { outcome, reason: reason.into() }
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::new(Outcome::Broken, error.to_string())
    }
}

/// A byte stream that speaks packets. The largest one it takes can change, because a stranger gets less.
pub(super) struct Packets<S> {
    stream: S,
    input: BytesMut,
    output: BytesMut,
    max_bytes: usize,
    takes_bytes: usize,
    /// Set once the first packet has told which version is spoken.
    begun: bool,
    /// When it is 5.
    v5: Option<V5>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Packets<S> {
    /// A stranger's stream: packets of at most `max_bytes`, and what is told to be taken later, `takes_bytes`.
    pub(super) fn new(stream: S, max_bytes: usize, takes_bytes: usize) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new(), max_bytes, takes_bytes, begun: false, v5: None }
    }

    /// A stream to a server, with which we began to speak 3.1.1.
    pub(super) fn client(stream: S, max_bytes: usize) -> Self {
        Self { begun: true, ..Self::new(stream, max_bytes, max_bytes) }
    }

    /// Bytes that were pushed and not yet written.
    pub(super) fn unwritten(&self) -> usize {
        self.output.len()
    }

    /// Most messages the client takes without acknowledging them.
    pub(super) fn receive_maximum(&self) -> usize {
        self.v5.as_ref().map_or(usize::MAX, V5::receive_maximum)
    }

    pub(super) fn set_max_bytes(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
    }

    /// The next whole packet among the bytes that have arrived.
    pub(super) fn parse(&mut self) -> Result<Option<Packet>, End> {
        if !self.begun && self.v5.is_none() && v5::level(&self.input) == Some(5) {
            self.v5 = Some(V5::new(self.takes_bytes));
        }
        let read = match &mut self.v5 {
            Some(v5) => v5.read(&mut self.input, self.max_bytes)?.ok_or(mqttbytes::Error::InsufficientBytes(1)),
            None => Packet::read(&mut self.input, self.max_bytes),
        };
        match read {
            Ok(packet) => {
                self.begun = true;
                if self.input.is_empty() {
                    // A packet's payload shares this memory: let go of it instead of keeping the largest packet's size forever.
                    self.input = BytesMut::new();
                }
                Ok(Some(packet))
            }
            Err(mqttbytes::Error::InsufficientBytes(_)) => Ok(None),
            Err(mqttbytes::Error::PayloadSizeLimitExceeded(bytes)) => Err(End::new(
                Outcome::PacketTooLarge,
                format!("a packet of {bytes} bytes is over the limit of {}: send smaller batches", self.max_bytes),
            )),
            Err(error) => Err(End::new(Outcome::ProtocolError, format!("not MQTT 3.1.1: {error}"))),
        }
    }

    /// Waits for more bytes. Cancel-safe. `false` when the client has closed.
    pub(super) async fn fill(&mut self) -> io::Result<bool> {
        // Grow with what arrives, not with what a header promises.
        self.input.reserve(READ_STEP.max(self.input.len() / 2));
        Ok(self.stream.read_buf(&mut self.input).await? > 0)
    }

    /// Puts a packet behind what is still to be written.
    pub(super) fn push(&mut self, packet: &Packet) -> Result<(), End> {
        if let Some(v5) = &mut self.v5 {
            return v5.write(packet, &mut self.output);
        }
        let unbounded = usize::MAX;
        packet
            .write(&mut self.output, unbounded)
            .map(drop)
            .map_err(|error| End::new(Outcome::ServerError, format!("could not encode a packet: {error}")))
    }

    /// Writes everything that was pushed.
    pub(super) async fn flush(&mut self, timeout: Duration) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        match tokio::time::timeout(timeout, write(&mut self.stream, &mut self.output)).await {
            Ok(written) => written?,
            Err(_) => return Err(End::new(Outcome::SlowClient, format!("nothing could be written for {timeout:?}"))),
        }
        // An idle connection keeps no write buffer.
        self.output = BytesMut::new();
        Ok(())
    }

    /// Tells a client that can be told why its connection ends.
    pub(super) async fn farewell(&mut self, end: &End) {
        if let Some(v5) = &self.v5
            && !matches!(end.outcome, Outcome::Closed | Outcome::Broken)
            && v5.farewell(end, &mut self.output).is_ok()
        {
            // It may not read any more; its end does not wait for it.
            let _ = self.flush(FAREWELL_TIMEOUT).await;
        }
    }

    /// Says that nothing more will come.
    pub(super) async fn close(&mut self) {
        // The other side may be gone already; there is nobody left to tell.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }
}

/// Writes all of it out: a TLS stream holds some back until it is flushed.
async fn write<S: AsyncWrite + Unpin>(stream: &mut S, output: &mut BytesMut) -> io::Result<()> {
    stream.write_all_buf(output).await?;
    stream.flush().await
}
