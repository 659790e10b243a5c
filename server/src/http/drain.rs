//! An answer waits for the rest of a small body.
//!
//! A handler that refuses from the head alone would be answered for while the client still sends. The connection is then closed
//! under it, and a client that keeps connections finds the next request failed. Large bodies are not worth the wait: there the
//! closed connection is what says stop.

use axum::{
    body::{Body, BodyDataStream, Bytes, HttpBody, to_bytes},
    extract::Request,
    http::header,
    response::Response,
};
use futures::{FutureExt, Stream, StreamExt};
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
    /// What was read of it already.
    first: Option<Result<Bytes, axum::Error>>,
    body: Option<BodyDataStream>,
    back: Option<oneshot::Sender<BodyDataStream>>,
}

impl Stream for Lent {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
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

/// Has the request answered, and reads what that left of a small body before the answer goes out.
pub(crate) async fn drain(request: Request, answer: impl AsyncFnOnce(Request) -> Response) -> Response {
    let size = request.body().size_hint();
    // Whoever asks before it sends needs no more than the answer.
    if request.body().is_end_stream() || size.lower() > MAX_JSON_BYTES as u64 || request.headers().contains_key(header::EXPECT) {
        return answer(request).await;
    }
    let (head, body) = request.into_parts();
    let mut body = body.into_data_stream();
    // Most come whole with the head: nothing is left of them.
    let first = body.next().now_or_never().flatten();
    if let Some(Ok(whole)) = &first
        && size.exact() == Some(whole.len() as u64)
    {
        return answer(Request::from_parts(head, Body::from(whole.clone()))).await;
    }
    let (back, mut left) = oneshot::channel();
    let lent = Body::from_stream(Lent { first, body: Some(body), back: Some(back) });
    let response = answer(Request::from_parts(head, lent)).await;
    if let Ok(rest) = left.try_recv() {
        // Too long, too slow or broken off: the connection is closed, as it would have been at once.
        let _ = timeout(PATIENCE, to_bytes(Body::from_stream(rest), MAX_JSON_BYTES)).await;
    }
    response
}
