//! An answer waits for the rest of a small body.
//!
//! A handler that refuses from the head alone would be answered for while the client still sends. The connection is then closed
//! under it, and a client that keeps connections finds the next request failed. Large bodies are not worth the wait: there the
//! closed connection is what says stop.

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody, to_bytes},
    extract::Request,
    http::header,
    middleware::Next,
    response::Response,
};
use futures::Stream;
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

use crate::http::MAX_JSON_BYTES;

/// How long a body that nobody reads is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body that comes back when its reader leaves it before its end.
struct Lent {
    body: Option<BodyDataStream>,
    back: Option<oneshot::Sender<BodyDataStream>>,
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let next = Pin::new(body).poll_next(cx);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        next
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Nobody wants it back when the whole request is given up.
            let _ = back.send(body);
        }
    }
}

/// Reads what a handler left of a small body before its answer goes out.
pub(crate) async fn drain(request: Request, next: Next) -> Response {
    let size = request.body().size_hint();
    // Whoever asks before it sends needs no more than the answer.
    if request.body().is_end_stream() || size.lower() > MAX_JSON_BYTES as u64 || request.headers().contains_key(header::EXPECT) {
        return next.run(request).await;
    }
    let (back, mut left) = oneshot::channel();
    let lend = |body: Body| Body::from_stream(Lent { body: Some(body.into_data_stream()), back: Some(back) });
    let response = next.run(request.map(lend)).await;
    if let Ok(rest) = left.try_recv() {
        // Too long, too slow or broken off: the connection is closed, as it would have been at once.
        let _ = timeout(PATIENCE, to_bytes(Body::from_stream(rest), MAX_JSON_BYTES)).await;
    }
    response
}
