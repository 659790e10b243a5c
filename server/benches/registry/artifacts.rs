//! A gigabyte up: against a bare handler that does the same with the bytes, and what it does to memory.

use rand::{RngCore, SeedableRng, rngs::SmallRng};
use serde_json::json;
use std::{
    pin::pin,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{ROUNDS, bare, figure, median, print, servers, servers::Ours};

/// Bytes of one upload.
const SIZE: usize = 1_000_000_000;
/// Bytes given to the connection at a time.
const CHUNK: usize = 1 << 18;

pub(crate) async fn measure() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, bare) = (Ours::start().await, bare::serve(folder.path().to_owned()).await);
    let (mut of_ours, mut of_bare, mut highest) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let rate_bare = upload(&bare, "/", round, None).await;
        let (rate, peak) = upload_watched(&ours, round).await;
        // Neither keeps the bytes: only the first upload finds a cold page cache and an empty disk.
        let names = std::fs::read_dir(folder.path()).unwrap();
        names.for_each(|name| std::fs::remove_file(name.unwrap().path()).unwrap());
        drop(std::fs::remove_dir_all(ours.folder().join("artifacts/sha256")));
        highest.push(peak);
        if round > 0 {
            of_ours.push(rate);
            of_bare.push(rate_bare);
        }
    }
    let (rate, base) = (median(of_ours), median(of_bare));
    figure("artifact_bare_mb_per_s", base, "MB/s");
    let (to, ratio) = ("artifact_bare_mb_per_s", rate / base);
    print(&json!({ "id": "artifact_ratio", "value": rate, "unit": "MB/s", "ratio_to": to, "ratio": ratio, "at_least": 0.8 }));
    let (first, last) = (highest[0], highest[ROUNDS]);
    figure("artifact_peak_first_mib", first, "MiB resident");
    let (to, ratio) = ("artifact_peak_first_mib", last / first);
    print(&json!({ "id": "artifact_peak_mib", "value": last, "unit": "MiB resident", "ratio_to": to, "ratio": ratio, "at_most": 1.1 }));
}

/// An upload's rate, and the most memory held until it is done, MiB.
async fn upload_watched(ours: &Ours, round: usize) -> (f64, f64) {
    let path = format!("/api/2.0/mlflow-artifacts/artifacts/bench/{round}");
    let mut uploading = pin!(upload(ours.address(), &path, round, Some(servers::TOKEN)));
    let mut most = 0.0_f64;
    loop {
        tokio::select! {
            rate = &mut uploading => return (rate, most),
            () = tokio::time::sleep(Duration::from_millis(20)) => most = most.max(ours.resident_mib()),
        }
    }
}

/// MB a second, until the answer came: other bytes in each round.
async fn upload(address: &str, path: &str, round: usize, token: Option<&str>) -> f64 {
    let mut chunk = vec![0; CHUNK];
    SmallRng::seed_from_u64(round as u64).fill_bytes(&mut chunk);
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let head = format!("PUT {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {SIZE}\r\n{token}Connection: close\r\n\r\n");
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = Instant::now();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut left = SIZE;
    while left > 0 {
        let now = left.min(CHUNK);
        stream.write_all(&chunk[..now]).await.unwrap();
        left -= now;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    SIZE as f64 / 1e6 / began.elapsed().as_secs_f64()
}
