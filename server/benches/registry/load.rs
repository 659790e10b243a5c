//! Clients that log to runs of their own, each waiting for its answer before it goes on: as a training does. Requests are
//! written and answers read by hand, so that the load takes little of the machine it shares with the server.

use serde_json::{Value, json};
use std::{
    fmt::Write,
    io,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// Metrics of one batch: so many keys at so many steps.
const KEYS: usize = 10;
const STEPS: usize = 10;
/// Times a request is sent.
const TRIES: usize = 10;

/// What a request logs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// `runs/log-metric`.
    Metric,
    /// `runs/log-batch` with a hundred metrics.
    Batch,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) kind: Kind,
    pub(crate) clients: usize,
    pub(crate) lasts: Duration,
}

impl Load {
    /// Metrics logged in each second.
    pub(crate) async fn run(self, address: &str, token: Option<&'static str>) -> f64 {
        let mut clients = Vec::new();
        for _ in 0..self.clients {
            clients.push(Client::open(address, token).await);
        }
        let began = Instant::now();
        let mut set = JoinSet::new();
        for mut client in clients {
            set.spawn(async move {
                let mut logged = 0_u64;
                while began.elapsed() < self.lasts {
                    logged += client.log(self.kind, logged).await;
                }
                logged
            });
        }
        let logged: u64 = set.join_all().await.into_iter().sum();
        logged as f64 / began.elapsed().as_secs_f64()
    }
}

/// A connection with a run of its own.
struct Client {
    address: String,
    stream: TcpStream,
    head: String,
    run: String,
    request: String,
    body: String,
    answer: Vec<u8>,
}

impl Client {
    async fn open(address: &str, token: Option<&str>) -> Self {
        let (stream, address) = (connect(address).await, address.to_owned());
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!("Host: {address}\r\nUser-Agent: load\r\nAccept: */*\r\nContent-Type: application/json\r\n{token}");
        let empty = String::new;
        let mut client = Self { address, stream, head, run: empty(), request: empty(), body: empty(), answer: vec![0; 1 << 16] };
        client.body = json!({ "experiment_id": "0", "start_time": 1 }).to_string();
        let made = client.post("/runs/create").await;
        made["run"]["info"]["run_id"].as_str().unwrap().clone_into(&mut client.run);
        client
    }

    /// How many metrics were logged.
    async fn log(&mut self, kind: Kind, at: u64) -> u64 {
        let time = 1_700_000_000_000 + at;
        self.body.clear();
        match kind {
            Kind::Metric => {
                let run = &self.run;
                write!(self.body, r#"{{"run_id": "{run}", "key": "loss", "value": 0.{time}, "timestamp": {time}, "step": {at}}}"#).unwrap();
                self.post("/runs/log-metric").await;
                1
            }
            Kind::Batch => {
                write!(self.body, r#"{{"run_id": "{}", "metrics": ["#, self.run).unwrap();
                for n in 0..KEYS * STEPS {
                    let (comma, key, step) = (if n == 0 { "" } else { ", " }, n % KEYS, at + (n / KEYS) as u64);
                    write!(self.body, r#"{comma}{{"key": "metric_{key}", "value": 0.{time}, "timestamp": {time}, "step": {step}}}"#)
                        .unwrap();
                }
                self.body.push_str("]}");
                self.post("/runs/log-batch").await;
                (KEYS * STEPS) as u64
            }
        }
    }

    /// Sends the body; the answer, which has to be a good one. Connections that the server closes are opened again, as clients do.
    async fn post(&mut self, path: &str) -> Value {
        self.request.clear();
        let (head, body) = (&self.head, &self.body);
        write!(self.request, "POST /api/2.0/mlflow{path} HTTP/1.1\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        for _ in 0..TRIES {
            if let Ok(answer) = self.exchange().await {
                return answer;
            }
            self.stream = connect(&self.address).await;
        }
        panic!("the server closed {TRIES} connections, one after the other");
    }

    async fn exchange(&mut self) -> io::Result<Value> {
        self.stream.write_all(self.request.as_bytes()).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.answer[filled..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += read;
            let Some(body) = body_of(&self.answer[..filled]) else { continue };
            assert!(self.answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&self.answer[..filled]));
            return Ok(serde_json::from_slice(body)?);
        }
    }
}

async fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// The body of an answer, once it is there whole.
fn body_of(answer: &[u8]) -> Option<&[u8]> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let length = head.lines().filter_map(|line| line.split_once(": ")).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.unwrap().1.parse().unwrap();
    answer.get(end + 4..end + 4 + length)
}
