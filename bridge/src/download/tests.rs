//! Downloads from a server that lies, cuts, forgets and comes back.

#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use axum::{Router, body::Body, extract::State, http::HeaderMap, response::Response, routing::get};
use edgeflow_wire::{BundleFileRef, SlotKind};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What the server does with the next requests, and what it was asked.
#[derive(Default)]
struct Script {
    content: Vec<u8>,
    /// Per request: how many bytes are sent before the connection is cut; everything after the last.
    cuts: Vec<usize>,
    status: Option<u16>,
    ranges: Vec<Option<String>>,
    honours_ranges: bool,
}

type Shared = Arc<Mutex<Script>>;

async fn artifact(State(script): State<Shared>, headers: HeaderMap) -> Response {
    let mut script = script.lock().unwrap();
    assert_eq!(headers["authorization"], "Bearer hunter2");
    let range = headers.get("range").map(|range| range.to_str().unwrap().to_owned());
    script.ranges.push(range.clone());
    if let Some(status) = script.status {
        return Response::builder().status(status).body(Body::empty()).unwrap();
    }
    let from = match range {
        Some(range) if script.honours_ranges => range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap(),
        _ => 0,
    };
    let whole = script.content[from..].to_vec();
    let response = Response::builder().header("content-length", whole.len());
    let response = if from > 0 {
        response.status(206).header("content-range", format!("bytes {from}-{}/{}", script.content.len() - 1, script.content.len()))
    } else {
        response
    };
    if script.cuts.is_empty() {
        return response.body(Body::from(whole)).unwrap();
    }
    let cut = script.cuts.remove(0);
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = vec![Ok(whole[..cut].to_vec()), Err(std::io::ErrorKind::ConnectionReset.into())];
    // Yielding in between lets the first piece leave before the cut.
    let pieces = futures::stream::iter(pieces).then(|piece| async {
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        piece
    });
    response.body(Body::from_stream(pieces)).unwrap()
}

struct World {
    dir: tempfile::TempDir,
    script: Shared,
    downloader: Downloader,
    link: watch::Sender<LinkState>,
}

impl World {
    async fn new(script: Script) -> Self {
        let script = Arc::new(Mutex::new(script));
        let app = Router::new().route("/api/v1/artifacts/{sha}", get(artifact)).with_state(Arc::clone(&script));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let dir = tempfile::tempdir().unwrap();
        let downloader = Downloader::new(&base, Secret::new("hunter2"), None, dir.path()).unwrap();
        Self { dir, script, downloader, link: watch::Sender::new(LinkState { connected: true, ..LinkState::default() }) }
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<PathBuf, FetchError> {
        self.downloader.fetch(wanted, self.link.subscribe()).await
    }

    fn leftovers(&self) -> usize {
        let count = |folder: &str| std::fs::read_dir(self.dir.path().join(folder)).unwrap().count();
        count("parts") + count("bundles")
    }
}

fn content() -> Vec<u8> {
    (0..100_000_u32).map(|n| (n % 251) as u8).collect()
}

fn spec(content: &[u8]) -> SlotSpec {
    let sha256 = Digest::of(content);
    let file = BundleFile { path: "model.onnx".into(), size_bytes: content.len() as u64, sha256 };
    SlotSpec {
        kind: SlotKind::Model,
        model: "m".into(),
        version: "1".into(),
        digest: bundle_digest(&[file]).to_string(),
        files: vec![BundleFileRef { path: "model.onnx".into(), size_bytes: content.len() as u64, sha256: sha256.hex() }],
    }
}

#[tokio::test]
async fn a_bundle_is_fetched_once_and_found_again() {
    let world = World::new(Script { content: content(), ..Script::default() }).await;
    let wanted = Wanted::new(&spec(&content())).unwrap();
    let folder = world.fetch(&wanted).await.unwrap();
    assert_eq!(std::fs::read(folder.join("model.onnx")).unwrap(), content());
    assert_eq!(world.downloader.verify(&wanted).await.unwrap(), folder);
    world.fetch(&wanted).await.unwrap();
    assert_eq!(world.script.lock().unwrap().ranges, [None], "it was fetched twice");
    assert_eq!(world.leftovers(), 1);
}

#[tokio::test]
async fn a_download_that_was_cut_goes_on_where_it_ended() {
    let world = World::new(Script { content: content(), cuts: vec![30_000, 20_000], honours_ranges: true, ..Script::default() }).await;
    let folder = world.fetch(&Wanted::new(&spec(&content())).unwrap()).await.unwrap();
    assert_eq!(std::fs::read(folder.join("model.onnx")).unwrap(), content());
    let ranges = world.script.lock().unwrap().ranges.clone();
    assert_eq!(ranges.len(), 3);
    assert!(ranges[0].is_none() && ranges[2].as_deref().is_some_and(|range| range.starts_with("bytes=")), "{ranges:?}");
}

#[tokio::test]
async fn a_server_without_ranges_costs_time_and_no_bytes_of_the_file() {
    let world = World::new(Script { content: content(), cuts: vec![30_000], ..Script::default() }).await;
    let folder = world.fetch(&Wanted::new(&spec(&content())).unwrap()).await.unwrap();
    assert_eq!(std::fs::read(folder.join("model.onnx")).unwrap(), content());
}

#[tokio::test]
async fn content_that_does_not_match_its_digest_is_refused_and_removed() {
    let mut other = content();
    other[77] ^= 1;
    for served in [other, content()[..5_000].to_vec(), [content(), vec![0]].concat()] {
        let short = served.len() < content().len();
        let world = World::new(Script { content: served, ..Script::default() }).await;
        let wanted = Wanted::new(&spec(&content())).unwrap();
        if short {
            // A short answer may be a cut one: it is asked for again, never taken.
            assert!(matches!(world.downloader.fetch_once(&wanted).await, Err(FetchError::Later { .. })));
            continue;
        }
        let Err(FetchError::Refused { reason }) = world.fetch(&wanted).await else { panic!("taken") };
        assert!(reason.contains("model.onnx does not match"), "{reason}");
        assert_eq!(world.leftovers(), 0);
    }
}

#[tokio::test]
async fn what_the_control_plane_refuses_is_refused_and_what_may_pass_is_tried_again() {
    for (status, word) in [(401, "token_file"), (404, "no artifact"), (410, "410")] {
        let world = World::new(Script { status: Some(status), ..Script::default() }).await;
        let Err(FetchError::Refused { reason }) = world.fetch(&Wanted::new(&spec(&content())).unwrap()).await else { panic!("{status}") };
        assert!(reason.contains(word), "{reason}");
    }
    let world = World::new(Script { status: Some(503), content: content(), ..Script::default() }).await;
    let wanted = Wanted::new(&spec(&content())).unwrap();
    let heal = async {
        while world.script.lock().unwrap().ranges.len() < 2 {
            tokio::task::yield_now().await;
        }
        world.script.lock().unwrap().status = None;
    };
    let (fetched, ()) = tokio::join!(world.fetch(&wanted), heal);
    fetched.unwrap();
}

#[tokio::test]
async fn the_return_of_the_link_ends_the_wait() {
    let mut world = World::new(Script { status: Some(503), content: content(), ..Script::default() }).await;
    let hour = Duration::from_secs(3_600);
    world.downloader.retry = Backoff::new(hour, hour);
    world.link.send_replace(LinkState::default());
    let wanted = Wanted::new(&spec(&content())).unwrap();
    let heal = async {
        while world.script.lock().unwrap().ranges.is_empty() {
            tokio::task::yield_now().await;
        }
        world.script.lock().unwrap().status = None;
        world.link.send_replace(LinkState { connected: true, ..LinkState::default() });
    };
    let (fetched, ()) = tokio::time::timeout(hour / 60, async { tokio::join!(world.fetch(&wanted), heal) }).await.unwrap();
    fetched.unwrap();
}

#[tokio::test]
async fn a_cached_bundle_that_rotted_is_fetched_again() {
    let world = World::new(Script { content: content(), ..Script::default() }).await;
    let wanted = Wanted::new(&spec(&content())).unwrap();
    let folder = world.fetch(&wanted).await.unwrap();
    std::fs::write(folder.join("model.onnx"), b"rot").unwrap();
    assert!(matches!(world.downloader.verify(&wanted).await, Err(FetchError::Later { .. })));
    world.fetch(&wanted).await.unwrap();
    world.downloader.verify(&wanted).await.unwrap();
    world.downloader.prune(&[], &[]).await;
    assert_eq!(world.leftovers(), 0);
}

#[tokio::test]
async fn a_part_that_suffered_is_fetched_anew_and_is_nobodys_fault() {
    let world = World::new(Script { content: content(), honours_ranges: true, ..Script::default() }).await;
    let wanted = Wanted::new(&spec(&content())).unwrap();
    // After a power cut a file may have its length and not its content.
    std::fs::write(world.downloader.part(&wanted.files[0]), vec![0; 30_000]).unwrap();
    let folder = world.fetch(&wanted).await.unwrap();
    assert_eq!(std::fs::read(folder.join("model.onnx")).unwrap(), content());
    assert_eq!(world.script.lock().unwrap().ranges, [Some("bytes=30000-".to_owned()), None]);
}

#[tokio::test]
async fn one_that_never_comes_keeps_no_other_waiting_and_what_is_under_way_is_not_pruned() {
    let world = World::new(Script { content: content(), cuts: vec![30_000; 1_000], ..Script::default() }).await;
    let never = Wanted::new(&spec(&content())).unwrap();
    let here = Wanted::new(&spec(b"here")).unwrap();
    std::fs::write(world.downloader.done(&here.files[0]), b"here").unwrap();
    let link = world.link.subscribe();
    let (digest, folder) = world.downloader.fetch_first(&[never.clone(), here.clone()], link).await;
    assert_eq!((digest, std::fs::read(folder.unwrap().join("model.onnx")).unwrap()), (here.digest, b"here".to_vec()));
    world.downloader.prune(&[], std::slice::from_ref(&never)).await;
    assert!(!world.downloader.has(&here.digest) && world.downloader.part(&never.files[0]).exists());
    world.downloader.prune(&[], &[]).await;
    assert_eq!(world.leftovers(), 0);
}

#[test]
fn a_specification_that_does_not_fit_is_refused_before_anything_is_fetched() {
    let good = spec(&content());
    let file = |path: &str| vec![BundleFileRef { path: path.into(), ..good.files[0].clone() }];
    let bad = [
        (SlotSpec { digest: "sha256:12".into(), ..good.clone() }, "sha256:12"),
        (SlotSpec { files: file("other.onnx"), ..good.clone() }, "list of files"),
        (SlotSpec { files: file("../model.onnx"), ..good.clone() }, "../model.onnx"),
        (SlotSpec { files: file("/etc/passwd"), ..good.clone() }, "/etc/passwd"),
        (SlotSpec { files: file("a/b"), ..good.clone() }, "a/b"),
        (SlotSpec { files: file(".."), ..good.clone() }, ".."),
        (SlotSpec { files: [file("model.onnx"), file("model.onnx")].concat(), ..good.clone() }, "twice"),
        (SlotSpec { files: vec![BundleFileRef { sha256: "zz".into(), ..good.files[0].clone() }], ..good.clone() }, "zz"),
    ];
    for (spec, word) in bad {
        let message = Wanted::new(&spec).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}
