//! `POST /infer` against the barest handler that does the same: axum, serde, `session.run`. Eight connections that are kept, the
//! same bytes on each, one second by turns.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::Request;
use axum::routing::post;
use edgeflow_inference::engine::ort::OrtBackend;
use edgeflow_inference::engine::{Engine, Limits, Requests, SessionOptions};
use edgeflow_inference::http::{Served, bind, router, serve};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tower::ServiceExt;

use super::support::*;
use super::{figure, median, ratio};

const CONNECTIONS: usize = 8;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(1);
const BODY: &str = r#"{"inputs":[[0.25,0.5,0.75,1.0]]}"#;

#[derive(serde::Deserialize)]
struct Asked {
    inputs: Vec<Vec<f32>>,
}

#[derive(serde::Serialize)]
struct Answered {
    outputs: Vec<Vec<f32>>,
}

#[tokio::main]
pub(super) async fn run() {
    let dir = tempfile::tempdir().unwrap();
    let path = bundle(&dir.path().join("tiny"), &pixel_model([0.0; 4]), None);
    let backend = Arc::new(OrtBackend::find("").unwrap());
    let onnx = std::fs::read(path.join("model.onnx")).unwrap();
    let session = Session::builder(backend.environment())
        .and_then(|b| Ok(b.with_optimization_level(GraphOptimizationLevel::All)?))
        .and_then(|b| Ok(b.with_intra_threads(1)?))
        .and_then(|mut b| b.commit_from_memory(&onnx))
        .unwrap();
    let bare = Router::new().route("/infer", post(bare)).with_state(Arc::new(Mutex::new(session)));

    let engine = Arc::new(Engine::new(backend, SessionOptions::default()));
    engine.load(&request(&path), &mut |_| Ok(())).unwrap();
    let requests = Arc::new(Requests::new(Arc::clone(&engine), Arc::new(Limits::default())));
    let served = Served { name: "default".into(), engine, requests, available: Arc::new(|| Ok(())), frames: Arc::new(Vec::new) };
    let routers = [bare, router(vec![served])];
    handlers(&routers).await;
    let addresses = routers.map(|router| {
        let (listener, address) = bind("127.0.0.1:0").unwrap();
        tokio::spawn(serve(listener, router));
        address
    });
    let mut rates = [const { Vec::new() }; 2];
    let mut costs = [const { Vec::new() }; 2];
    for round in 0..=ROUNDS {
        for ((rates, costs), address) in rates.iter_mut().zip(&mut costs).zip(addresses) {
            let (rate, cost) = requests_per_second(address).await;
            // The first round warms up.
            if round > 0 {
                rates.push(rate);
                costs.push(cost);
            }
        }
    }
    let [bare, ours] = rates.map(median);
    ratio("http_infer_ratio", ours, "requests/s", "http_bare_requests_per_s", bare);
    let [bare, ours] = costs.map(median);
    ratio("http_cpu_ratio", ours, "us of processor time per request", "http_bare_cpu_us", bare);
}

/// What a request costs without a connection: from its bytes to those of the answer, on one thread, by turns.
async fn handlers([bare, ours]: &[Router; 2]) {
    const CALLS: usize = 60_000;
    const TURN: usize = 500;
    let mut took = [const { Vec::new() }; 2];
    for _ in 0..CALLS / TURN {
        for (took, router) in took.iter_mut().zip([bare, ours]) {
            for _ in 0..TURN {
                let began = std::time::Instant::now();
                let request = Request::post("/infer").header("content-type", "application/json").body(Body::from(BODY)).unwrap();
                let response = router.clone().oneshot(request).await.unwrap();
                black_box(to_bytes(response.into_body(), usize::MAX).await.unwrap());
                took.push(began.elapsed().as_secs_f64() * 1e6);
            }
        }
    }
    let [bare, ours] = took.map(median);
    figure("http_bare_handler_us", bare, "us/request");
    figure("http_handler_overhead_us", ours - bare, "us/request");
}

async fn bare(State(session): State<Arc<Mutex<Session>>>, body: Bytes) -> axum::Json<Answered> {
    let asked: Asked = serde_json::from_slice(&body).unwrap();
    let shape = [asked.inputs.len() as i64, asked.inputs[0].len() as i64];
    let flat = asked.inputs.concat();
    let mut session = session.lock().unwrap();
    let outputs = session.run(ort::inputs![TensorRef::from_array_view((shape, flat.as_slice())).unwrap()]).unwrap();
    let (shape, values) = outputs["probabilities"].try_extract_tensor::<f32>().unwrap();
    axum::Json(Answered { outputs: values.chunks(shape[1] as usize).map(<[f32]>::to_vec).collect() })
}

/// Requests per second, and the processor time of server, clients and kernel for one, microseconds.
async fn requests_per_second(address: std::net::SocketAddr) -> (f64, f64) {
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (began, worked) = (std::time::Instant::now(), processor_time_s());
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| tokio::spawn(client(address, Arc::clone(&stop), Arc::clone(&done)))).collect();
    tokio::time::sleep(ROUND).await;
    let (done, took) = (done.load(Ordering::Relaxed) as f64, began.elapsed());
    let worked = processor_time_s() - worked;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    (done / took.as_secs_f64(), worked / done * 1e6)
}

/// Of this process so far, in user and kernel mode.
fn processor_time_s() -> f64 {
    /// `USER_HZ`, which is 100 on every Linux.
    const TICKS_PER_S: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // Behind the program's name; utime and stime are fields 14 and 15 of all.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    fields.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS_PER_S
}

async fn client(address: std::net::SocketAddr, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::new(stream);
    let request = format!(
        "POST /infer HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let (mut line, mut body) = (String::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        stream.get_mut().write_all(request.as_bytes()).await.unwrap();
        let mut length = 0;
        loop {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        body.resize(length, 0);
        stream.read_exact(&mut body).await.unwrap();
        assert!(body.starts_with(b"{\"") && !body.starts_with(b"{\"error"), "{}", String::from_utf8_lossy(&body));
        done.fetch_add(1, Ordering::Relaxed);
    }
}
