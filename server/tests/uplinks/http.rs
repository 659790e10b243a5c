//! The HTTP uplink's door against those who misuse it.

use crate::{
    common::answer,
    world::{PATIENCE, World},
};
use edgeflow_uplink::{Http, HttpConfig};
use edgeflow_wire::{Class, EntryBody, FaultBody, News, Upstream, decode};
use reqwest::{Method, RequestBuilder, StatusCode};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

fn news(world: &World, target: &str, token: &str, query: &str) -> RequestBuilder {
    world.server.anonymous(Method::GET, &format!("/api/v1/targets/{target}/desired?{query}")).bearer_auth(token)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_robot_itself_is_answered() {
    let world = World::start().await;
    let (one, two) = (world.server.enrol("robot-1").await, world.server.enrol("robot-2").await);
    let post = |token: &str| world.server.anonymous(Method::POST, "/api/v1/targets/robot-1/telemetry").bearer_auth(token).body("{}");
    for (token, status) in [(two.token.as_str(), 403), (crate::common::TOKEN, 403), ("robot-1.nonsense", 401)] {
        assert_eq!(answer(news(&world, "robot-1", token, "wait_s=0")).await.0, status, "{token}");
        assert_eq!(answer(post(token)).await.0, status, "{token}");
    }
    let anonymous = world.server.anonymous(Method::GET, "/api/v1/targets/robot-1/desired");
    assert_eq!(answer(anonymous).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(answer(news(&world, "robot-1", &one.token, "wait_s=0")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(answer(post(&one.token)).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(answer(news(&world, "robot-1", &one.token, "generation=1")).await.0, StatusCode::BAD_REQUEST);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_waits_until_something_changes_and_a_newer_one_takes_its_place() {
    let world = World::start().await;
    world.register().await;
    let robot = world.server.enrol("robot-1").await;
    world.server.deploy("1", &["robot-1"]).await;
    let first: News = decode(&news(&world, "robot-1", &robot.token, "").send().await.unwrap().bytes().await.unwrap()).unwrap();
    assert!(first.desired.unwrap().payload.contains("\"generation\":\"1\""));

    let known = "server_epoch=1&generation=1";
    let older = tokio::spawn(news(&world, "robot-1", &robot.token, known).send());
    world.until_waiting(1).await;
    let newer = tokio::spawn(news(&world, "robot-1", &robot.token, known).send());
    let older = timeout(PATIENCE, older).await.unwrap().unwrap().unwrap();
    assert_eq!(older.status(), StatusCode::CONFLICT);
    world.server.deploy("1", &["robot-1"]).await;
    let newer = timeout(PATIENCE, newer).await.unwrap().unwrap().unwrap();
    let second: News = decode(&newer.bytes().await.unwrap()).unwrap();
    assert!(second.desired.unwrap().payload.contains("\"generation\":\"2\""));
    // Nothing new: it is told so when the time is over, and not before.
    let begin = Instant::now();
    let nothing = news(&world, "robot-1", &robot.token, "server_epoch=1&generation=2&wait_s=1").send().await.unwrap();
    assert_eq!(nothing.status(), StatusCode::NO_CONTENT);
    assert!(begin.elapsed() >= Duration::from_millis(990), "{:?}", begin.elapsed());
    // A control plane that stops keeps nobody waiting.
    let last = tokio::spawn(news(&world, "robot-1", &robot.token, "server_epoch=1&generation=2&wait_s=60").send());
    world.until_waiting(1).await;
    timeout(Duration::from_secs(8), world.stop()).await.expect("it waited for a robot that waits");
    assert_eq!(last.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_slowly_keeps_only_its_own_places() {
    let world = World::start().await;
    let (slow, quick) = (world.server.enrol("robot-1").await, world.server.enrol("robot-2").await);
    let mut stuck = Vec::new();
    // Its places are taken, one after the other; then it is told so.
    let busy = async {
        loop {
            let mut stream = TcpStream::connect(world.http()).await.unwrap();
            let head = format!(
                "POST /api/v1/targets/robot-1/telemetry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 1000\r\n\r\nslow",
                slow.token
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            stuck.push(stream);
            let status = answer(news(&world, "robot-1", &slow.token, "wait_s=0")).await.0;
            if status == StatusCode::TOO_MANY_REQUESTS {
                return;
            }
            assert_eq!(status, StatusCode::NO_CONTENT);
        }
    };
    timeout(PATIENCE, busy).await.expect("a robot may have any number of requests open");
    let begin = Instant::now();
    assert_eq!(answer(news(&world, "robot-2", &quick.token, "wait_s=0")).await.0, StatusCode::NO_CONTENT);
    assert!(begin.elapsed() < Duration::from_secs(2), "another robot waited {:?}", begin.elapsed());
    // When the slow ones give up, there is room again.
    drop(stuck);
    let room = async {
        while answer(news(&world, "robot-1", &slow.token, "wait_s=0")).await.0 != StatusCode::NO_CONTENT {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, room).await.expect("places are never given back");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_before_it_is_read_whole() {
    let world = World::start().await;
    let robot = world.server.enrol("robot-1").await;
    let mut stream = TcpStream::connect(world.http()).await.unwrap();
    let head = format!(
        "POST /api/v1/targets/robot-1/telemetry HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 1000000000\r\n\r\n",
        robot.token
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.split();
    // It may close on us while we still write.
    let writing = async {
        let chunk = vec![b' '; 64 * 1024];
        while write.write_all(&chunk).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let mut answer = vec![0; 12];
    let reading = async { read.read_exact(&mut answer).await.map(drop) };
    let answered = tokio::select! {
        () = writing => unreachable!(),
        answered = timeout(PATIENCE, reading) => answered.expect("never answered"),
    };
    answered.unwrap();
    assert_eq!(answer, b"HTTP/1.1 413");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_that_asks_is_here_and_one_that_has_ceased_to_ask_is_gone() {
    let world = World::start().await;
    let robot = world.server.enrol("robot-1").await;
    let online = async || world.server.get("/targets/robot-1").await["online"].clone();
    assert_eq!(online().await, false);
    for _ in 0..3 {
        assert_eq!(answer(news(&world, "robot-1", &robot.token, "wait_s=0")).await.0, StatusCode::NO_CONTENT);
        assert_eq!(online().await, true, "between two questions it is still here");
    }
    let asked = Instant::now();
    world.until_online("robot-1", false).await;
    assert!(asked.elapsed() > Duration::from_secs(5), "gone after {:?}", asked.elapsed());
    assert_eq!(answer(news(&world, "robot-1", &robot.token, "wait_s=0")).await.0, StatusCode::NO_CONTENT);
    assert_eq!(online().await, true);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_robot_that_asks_now_and_then_is_here_though_it_misses_a_question() {
    let world = World::start().await;
    let robot = world.server.enrol("robot-1").await;
    let ask = async || assert_eq!(answer(news(&world, "robot-1", &robot.token, "wait_s=0")).await.0, StatusCode::NO_CONTENT);
    ask().await;
    // A silence that is no absence, and then one that is longer: what the robot does is the test, nothing is waited for.
    tokio::time::sleep(Duration::from_secs(8)).await;
    ask().await;
    tokio::time::sleep(Duration::from_secs(13)).await;
    assert_eq!(world.server.get("/targets/robot-1").await["online"], true);
    world.stop().await;
}

/// Lets so many bytes a second through to `upstream`, and what comes back at once.
async fn slow(upstream: std::net::SocketAddr, bytes_per_s: usize) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(upstream).await.unwrap();
            tokio::spawn(async move {
                let ((mut up, mut back), (mut down, mut forth)) = (client.into_split(), server.into_split());
                tokio::spawn(async move { tokio::io::copy(&mut down, &mut back).await });
                let mut chunk = vec![0; bytes_per_s / 20];
                while let Ok(count @ 1..) = up.read(&mut chunk).await {
                    if forth.write_all(&chunk[..count]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            });
        }
    });
    address
}

/// A link is slow for as long as it is: what takes its time is not taken for an answer that never comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_a_slow_link_takes_long_for_is_waited_for() {
    let world = World::start().await;
    let mut robot = world.enrol("robot-1").await;
    let address = slow(world.http(), 20_000).await;
    let config = HttpConfig::new(format!("http://{address}"), "robot-1", &robot.token);
    let uplink = Http::new(HttpConfig { patience: Duration::from_millis(1_000), ..config }).unwrap();
    let mut connection = crate::world::Connection::start(&uplink);
    connection.up().await;
    let message: String = (0..50_000).map(|_| char::from(rand::random_range(b'0'..=b'z'))).collect();
    let batch = robot.append(Class::Event, vec![EntryBody::Fault(FaultBody { source: "test".into(), message })]);
    let begin = Instant::now();
    let ack = connection.say(Upstream::Batch(batch)).await;
    assert_eq!(ack.next[0].next_seq, 2);
    assert!(begin.elapsed() > Duration::from_millis(1_500), "the link was not slow: {:?}", begin.elapsed());
    world.stop().await;
}
