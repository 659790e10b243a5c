//! The listener for TLS: handshakes beside each other, and connections that end with the certificate they came with.

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use edgeflow_core::{RobotId, identity::Presented};
use std::{
    future::{Future, pending},
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, broadcast, mpsc},
};
use tokio_rustls::TlsAcceptor;

use crate::{
    app::App,
    tls::{self, Stream},
};

/// Most connections at once.
const MAX_CONNECTIONS: usize = 20_000;
/// Most connections at once that have not finished their handshake. Further ones are closed at once.
const MAX_HANDSHAKES: usize = 2_000;
/// Most time for a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (no file descriptors left, mostly) the listener rests for so long.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Who is at the other end of a TLS connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    /// The robot's certificate, when one was presented.
    pub(crate) certificate: Option<Arc<Presented>>,
    /// Whether it is a TLS connection.
    pub(crate) tls: bool,
}

impl Connected<IncomingStream<'_, SecureListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, SecureListener>) -> Self {
        stream.remote_addr().clone()
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    /// Nobody who comes without TLS proves to be a robot.
    fn connect_info(_: IncomingStream<'_, TcpListener>) -> Self {
        Self { certificate: None, tls: false }
    }
}

/// A TLS listener.
pub(crate) struct SecureListener {
    ready: mpsc::Receiver<(Guarded, Peer)>,
}

impl SecureListener {
    /// Begins to accept.
    pub(crate) fn open(listener: TcpListener, acceptor: TlsAcceptor, app: Arc<App>) -> Self {
        let (sender, ready) = mpsc::channel(64);
        tokio::spawn(async move {
            tokio::select! {
                () = accept(&listener, &acceptor, &app, &sender) => {}
                () = sender.closed() => {}
            }
        });
        Self { ready }
    }
}

impl Listener for SecureListener {
    type Io = Guarded;
    type Addr = Peer;

    async fn accept(&mut self) -> (Guarded, Peer) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Peer> {
        Ok(Peer { certificate: None, tls: true })
    }
}

async fn accept(listener: &TcpListener, acceptor: &TlsAcceptor, app: &Arc<App>, ready: &mpsc::Sender<(Guarded, Peer)>) {
    let (slots, handshakes) = (Arc::new(Semaphore::new(MAX_CONNECTIONS)), Arc::new(Semaphore::new(MAX_HANDSHAKES)));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let free = (slots.clone().try_acquire_owned(), handshakes.clone().try_acquire_owned());
                let (Ok(slot), Ok(handshake)) = free else {
                    tracing::warn!(%peer, "too many http connections: closed one");
                    continue;
                };
                let (acceptor, app, ready) = (acceptor.clone(), app.clone(), ready.clone());
                tokio::spawn(async move {
                    // Heard from before the certificate is looked at, so that no revocation falls between the two.
                    let revocations = app.revocations();
                    match tokio::time::timeout(HANDSHAKE_TIMEOUT, shake(&acceptor, stream)).await {
                        Ok(Ok((stream, certificate))) => {
                            drop(handshake);
                            let end = end(certificate.clone(), revocations);
                            // An error means that the server stops.
                            let _ =
                                ready.send((Guarded { stream, end: Box::pin(end), _slot: slot }, Peer { certificate, tls: true })).await;
                        }
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS handshake"),
                        Err(_) => tracing::debug!(%peer, "no TLS handshake in time"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept an http connection");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn shake(acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<(Stream, Option<Arc<Presented>>)> {
    stream.set_nodelay(true)?;
    let stream = acceptor.accept(stream).await?;
    let certificate = tls::presented(&stream).map(Arc::new);
    Ok((Stream::Tls(Box::new(stream)), certificate))
}

/// Ends when the certificate is revoked or expires.
async fn end(certificate: Option<Arc<Presented>>, mut revocations: broadcast::Receiver<RobotId>) {
    let Some(certificate) = certificate else { return pending().await };
    let revoked = async {
        loop {
            match revocations.recv().await {
                Ok(robot) if robot.as_str() == certificate.name => return,
                Ok(_) => {}
                // Which ones were missed is unknown: it has to prove itself again.
                Err(broadcast::error::RecvError::Lagged(_)) => return,
                Err(broadcast::error::RecvError::Closed) => return pending().await,
            }
        }
    };
    tokio::select! {
        () = revoked => {}
        () = tokio::time::sleep(tls::remaining(&certificate)) => {}
    }
}

/// A connection that breaks, also in the midst of a request or an answer, when its certificate says nothing any more.
pub(crate) struct Guarded {
    stream: Stream,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    _slot: OwnedSemaphorePermit,
}

impl Guarded {
    fn poll_end(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.end.as_mut().poll(cx) {
            Poll::Ready(()) => {
                // Asked again, it says the same.
                self.end = Box::pin(std::future::ready(()));
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the robot's certificate was revoked or has expired"))
            }
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_end(cx)?;
        Pin::new(&mut this.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.poll_end(cx)?;
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_end(cx)?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
