//! Each way a network can fail, over real sockets.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// An upstream that echoes.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
        }
    });
    address
}

async fn says_back(stream: &mut TcpStream, text: &[u8]) -> bool {
    if stream.write_all(text).await.is_err() {
        return false;
    }
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).await.is_ok_and(|_| answer == text)
}

/// Whether the other side has closed or reset the connection.
async fn is_dead(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut byte)).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn bytes_pass_both_ways_and_a_half_close_is_carried() {
    let link = Link::new();
    let proxy = Proxy::start(echo().await, &link).await.unwrap();
    let mut client = TcpStream::connect(proxy.local_addr()).await.unwrap();
    let payload = vec![7; 300_000];
    let (mut read, mut write) = client.split();
    let (sent, received) = tokio::join!(
        async {
            write.write_all(&payload).await?;
            write.shutdown().await
        },
        async {
            let mut answer = Vec::new();
            read.read_to_end(&mut answer).await.map(|_| answer)
        }
    );
    sent.unwrap();
    assert_eq!(received.unwrap(), payload);
}

#[tokio::test]
async fn a_cut_closes_every_connection_of_every_proxy_before_it_returns() {
    let link = Link::new();
    let mqtt = Proxy::start(echo().await, &link).await.unwrap();
    let http = Proxy::start(echo().await, &link).await.unwrap();
    let mut a = TcpStream::connect(mqtt.local_addr()).await.unwrap();
    let mut b = TcpStream::connect(http.local_addr()).await.unwrap();
    assert!(says_back(&mut a, b"one").await && says_back(&mut b, b"two").await);
    assert_eq!(link.open_connections(), 2);

    link.cut().await;

    assert_eq!(link.open_connections(), 0);
    assert!(!link.is_connected());
    assert!(is_dead(&mut a).await && is_dead(&mut b).await);
}

#[tokio::test]
async fn a_cut_link_refuses_new_connections_until_it_is_restored() {
    let link = Link::new();
    let proxy = Proxy::start(echo().await, &link).await.unwrap();
    link.cut().await;
    let refused = TcpStream::connect(proxy.local_addr()).await;
    if let Ok(mut stream) = refused {
        assert!(is_dead(&mut stream).await);
    }
    assert_eq!(link.open_connections(), 0);

    link.restore();
    let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    assert!(says_back(&mut stream, b"again").await);
    // A second cut works like the first.
    link.cut().await;
    assert!(is_dead(&mut stream).await);
}

#[tokio::test]
async fn an_upstream_that_is_down_is_a_refused_connection_and_not_the_end_of_the_proxy() {
    // Held, so that nobody else takes it, and never listened on.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let link = Link::new();
    let proxy = Proxy::start(address.to_string(), &link).await.unwrap();
    let mut first = TcpStream::connect(proxy.local_addr()).await.unwrap();
    assert!(is_dead(&mut first).await);
    let mut second = TcpStream::connect(proxy.local_addr()).await.unwrap();
    assert!(is_dead(&mut second).await);
}

/// A proxied echo, and a client of it.
async fn proxied(link: &Link) -> (Proxy, TcpStream) {
    let proxy = Proxy::start(echo().await, link).await.unwrap();
    let stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
    (proxy, stream)
}

#[tokio::test]
async fn while_half_open_nothing_passes_and_nothing_ends_and_what_was_sent_arrives_later() {
    let link = Link::new();
    let (proxy, mut stream) = proxied(&link).await;
    assert!(says_back(&mut stream, b"before").await);
    link.set(Condition::HalfOpen);
    stream.write_all(b"into the void").await.unwrap();
    // The handshake of a new connection is the proxy's own kernel's; beyond it nothing passes either.
    let mut second = TcpStream::connect(proxy.local_addr()).await.unwrap();
    second.write_all(b"hello").await.unwrap();
    let mut byte = [0; 1];
    for silent in [&mut stream, &mut second] {
        let read = tokio::time::timeout(Duration::from_millis(200), silent.read(&mut byte)).await;
        assert!(read.is_err(), "{read:?}");
    }
    link.restore();
    let mut late = [0; 13];
    stream.read_exact(&mut late).await.unwrap();
    assert_eq!(&late, b"into the void");
    second.read_exact(&mut late[..5]).await.unwrap();
    assert_eq!(link.open_connections(), 2);
}

#[tokio::test]
async fn while_half_open_not_even_the_end_of_the_other_side_is_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::new();
    let proxy = Proxy::start(listener.local_addr().unwrap().to_string(), &link).await.unwrap();
    let mut client = TcpStream::connect(proxy.local_addr()).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    server.read_exact(&mut [0; 1]).await.unwrap();
    link.set(Condition::HalfOpen);
    drop(server);
    let mut byte = [0; 1];
    assert!(tokio::time::timeout(Duration::from_millis(200), client.read(&mut byte)).await.is_err());
    link.restore();
    assert!(is_dead(&mut client).await);
}

#[tokio::test]
async fn a_reset_is_seen_as_one_on_both_sides_and_new_connections_are_welcome() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::new();
    let proxy = Proxy::start(listener.local_addr().unwrap().to_string(), &link).await.unwrap();
    let mut client = TcpStream::connect(proxy.local_addr()).await.unwrap();
    client.write_all(b"x").await.unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    server.read_exact(&mut [0; 1]).await.unwrap();
    link.reset().await;
    let mut byte = [0; 1];
    for side in [&mut client, &mut server] {
        let error = tokio::time::timeout(Duration::from_secs(5), side.read(&mut byte)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    let mut client = TcpStream::connect(proxy.local_addr()).await.unwrap();
    client.write_all(b"y").await.unwrap();
    assert!(listener.accept().await.is_ok());
}

#[tokio::test]
async fn a_refusing_network_keeps_what_stands() {
    let link = Link::new();
    let (proxy, mut stands) = proxied(&link).await;
    assert!(says_back(&mut stands, b"one").await);
    link.set(Condition::Refusing);
    if let Ok(mut refused) = TcpStream::connect(proxy.local_addr()).await {
        assert!(is_dead(&mut refused).await);
    }
    assert!(says_back(&mut stands, b"two").await);
    assert_eq!(link.open_connections(), 1);
}

#[tokio::test]
async fn a_slow_network_is_late_both_ways_and_keeps_order() {
    let link = Link::seeded(7);
    let (_proxy, mut stream) = proxied(&link).await;
    assert!(says_back(&mut stream, b"warm").await);
    link.set(Condition::Slow { delay: Duration::from_millis(60), jitter: Duration::from_millis(40), bytes_per_s: None });
    let began = tokio::time::Instant::now();
    assert!(says_back(&mut stream, b"there and back").await);
    assert!(began.elapsed() >= Duration::from_millis(120), "{:?}", began.elapsed());
    let payload: Vec<u8> = (0..200_000_u32).map(|n| (n / 7 % 251) as u8).collect();
    let (mut read, mut write) = stream.split();
    let mut answer = vec![0; payload.len()];
    let (sent, received) = tokio::join!(write.write_all(&payload), read.read_exact(&mut answer));
    assert!(sent.is_ok() && received.is_ok() && answer == payload);
}

#[tokio::test]
async fn a_thin_network_takes_its_time() {
    let link = Link::new();
    let (_proxy, mut stream) = proxied(&link).await;
    link.set(Condition::Slow { delay: Duration::ZERO, jitter: Duration::ZERO, bytes_per_s: Some(20_000) });
    let began = tokio::time::Instant::now();
    assert!(says_back(&mut stream, &[7; 10_000]).await);
    // Half a second each way, which overlap; a last tenth is not waited for.
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    link.restore();
    assert!(says_back(&mut stream, &[8; 500_000]).await);
}

#[tokio::test]
async fn what_clients_sent_can_be_kept() {
    let recording = Recording::of(2, 5);
    let link = Link::new();
    let proxy = Proxy::recording(echo().await, &link, recording.clone()).await.unwrap();
    for text in [b"1 first", b"2nd one", b"3rd one"] {
        let mut stream = TcpStream::connect(proxy.local_addr()).await.unwrap();
        assert!(says_back(&mut stream, text).await);
        drop(stream);
        link.cut().await;
        link.restore();
    }
    assert_eq!(recording.connections(), [b"2nd o".to_vec(), b"3rd o".to_vec()]);
}
