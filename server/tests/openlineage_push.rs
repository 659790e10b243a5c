//! An OpenLineage endpoint is told what happens to lineage: all of it, in order, through failures and restarts.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "clippy exempts test functions, not their helpers")]

mod common;

use axum::{Json, Router, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use common::{
    Server, options,
    training::{mlflow, train},
};
use edgeflow_server::{
    app::App,
    background,
    openlineage::{Endpoint, EndpointOptions},
};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// An endpoint that answers what it is told to, then 201, and passes on what it took.
#[derive(Clone)]
struct Marquez {
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    took: mpsc::UnboundedSender<Value>,
}

async fn take(State(marquez): State<Marquez>, headers: HeaderMap, Json(event): Json<Value>) -> StatusCode {
    assert_eq!(headers["authorization"], "Bearer key");
    let answer = marquez.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::CREATED);
    if answer.is_success() {
        marquez.took.send(event).unwrap();
    }
    answer
}

async fn marquez(answers: &[u16]) -> (String, mpsc::UnboundedReceiver<Value>) {
    let (took, taken) = mpsc::unbounded_channel();
    let answers = answers.iter().map(|answer| StatusCode::from_u16(*answer).unwrap()).collect();
    let state = Marquez { answers: Arc::new(Mutex::new(answers)), took };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/base", listener.local_addr().unwrap());
    let routes = Router::new().route("/base/api/v1/lineage", post(take)).with_state(state);
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (url, taken)
}

fn quick(url: &str) -> EndpointOptions {
    EndpointOptions { every: Duration::from_millis(20), ..EndpointOptions::new(url) }
}

fn tell(app: &Arc<App>, options: EndpointOptions) -> (CancellationToken, JoinHandle<()>) {
    let shutdown = CancellationToken::new();
    let endpoint = Endpoint::open(options, Some("key")).unwrap();
    (shutdown.clone(), tokio::spawn(background::tell_lineage(app.clone(), endpoint, shutdown)))
}

async fn next(taken: &mut mpsc::UnboundedReceiver<Value>) -> String {
    let event = tokio::time::timeout(Duration::from_secs(60), taken.recv()).await.unwrap().unwrap();
    format!("{} {}", event["job"]["name"].as_str().unwrap(), event["eventType"].as_str().unwrap())
}

#[tokio::test]
async fn an_endpoint_is_told_all_of_it_through_failures_and_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    mlflow(&server, "registered-models/create", json!({ "name": "label-reader" })).await;
    let run = train(&server, "v1", ("digits", "5c8a"), "0.1", 0.8).await;
    mlflow(&server, "runs/update", json!({ "run_id": run, "status": "FINISHED", "end_time": 9 })).await;

    // It is down for two rounds, then takes the first event, wants no other now, and refuses one for good.
    let (url, mut taken) = marquez(&[503, 429, 201, 500, 201, 422, 201]).await;
    let (stop, teller) = tell(&server.app, quick(&url));
    let start = "training/Default START";
    assert_eq!([next(&mut taken).await, next(&mut taken).await], [start, start], "at least once");
    assert_eq!(next(&mut taken).await, "training/Default COMPLETE", "the registration between was refused");
    server.enrol("robot-1").await;
    assert_eq!(server.deploy("1", &["robot-1"]).await.0, 201);
    assert_eq!(next(&mut taken).await, "deployment/default COMPLETE", "what is new goes on from there");
    stop.cancel();
    teller.await.unwrap();

    // After a restart it is told only what it was not told; in another namespace, everything.
    let before = train(&server, "v2", ("digits", "77aa"), "0.2", 0.97).await;
    server.stop().await;
    let server = Server::start(options(&folder)).await;
    let (stop, teller) = tell(&server.app, quick(&url));
    assert_eq!([next(&mut taken).await, next(&mut taken).await], [start, "registration/label-reader COMPLETE"]);
    mlflow(&server, "runs/update", json!({ "run_id": before, "status": "KILLED", "end_time": 9 })).await;
    assert_eq!(next(&mut taken).await, "training/Default ABORT");
    stop.cancel();
    teller.await.unwrap();
    let (stop, teller) = tell(&server.app, EndpointOptions { namespace: "plant-2".into(), ..quick(&url) });
    for expected in [start, "registration/label-reader COMPLETE", "training/Default COMPLETE"] {
        assert_eq!(next(&mut taken).await, expected);
    }
    stop.cancel();
    teller.await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_over_tls_is_known_by_its_ca() {
    edgeflow_server::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (ca, other) = (folder.path().join("ca.pem"), folder.path().join("other.pem"));
    std::fs::write(&ca, made.cert.pem()).unwrap();
    std::fs::write(&other, rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem()).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let served = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that knows another CA goes away in the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let (mut text, mut buffer) = (String::new(), [0; 4096]);
            while !text.contains("\r\n\r\n{\"n\":1}") {
                let read = stream.read(&mut buffer).await.unwrap();
                assert!(read > 0, "{text}");
                text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            stream.flush().await.unwrap();
            return text;
        }
    });
    let open = |ca| Endpoint::open(EndpointOptions { ca: Some(ca), ..EndpointOptions::new(url.clone()) }, None).unwrap();
    let error = open(other).tell(&[json!({ "n": 1 })]).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("{url} cannot be reached: ")), "{error}");
    open(ca).tell(&[json!({ "n": 1 })]).await.unwrap();
    let text = served.await.unwrap();
    assert!(text.starts_with("POST /api/v1/lineage HTTP/1.1\r\n") && text.contains("content-type: application/json"), "{text}");
}
