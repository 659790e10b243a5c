//! Files in parts, as MLflow's clients send and fetch them: by addresses that they are given.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "clippy exempts test functions, not their helpers")]

mod common;

use common::{
    Server, TOKEN, answer,
    clock::{DAY_US, StoodClock},
    options,
};
use reqwest::{Client, Method, StatusCode, header};
use serde_json::{Value, json};
use std::path::Path;

const ROOT: &str = "/api/2.0/mlflow-artifacts";

async fn ask(server: &Server, what: &str, folder: &str, body: Value) -> (StatusCode, Value) {
    answer(server.anonymous(Method::POST, &format!("{ROOT}/mpu/{what}/{folder}")).bearer_auth(TOKEN).json(&body)).await
}

/// The id of an upload of `weights.bin`, and where its parts go.
async fn begin(server: &Server, parts: usize) -> (String, Vec<String>) {
    let (status, begun) = ask(server, "create", "0/run/artifacts", json!({ "path": "/home/ada/weights.bin", "num_parts": parts })).await;
    assert_eq!(status, StatusCode::OK, "{begun}");
    let credentials = begun["credentials"].as_array().unwrap();
    let numbers: Vec<_> = credentials.iter().map(|part| part["part_number"].as_u64().unwrap() as usize).collect();
    assert_eq!(numbers, (1..=parts).collect::<Vec<_>>());
    (begun["upload_id"].as_str().unwrap().to_owned(), credentials.iter().map(|part| part["url"].as_str().unwrap().to_owned()).collect())
}

/// Sends a part as clients do, with nothing but its address: its ETag.
async fn send(url: &str, content: &[u8]) -> Result<String, (StatusCode, Value)> {
    let response = Client::new().put(url).body(content.to_vec()).send().await.unwrap();
    let (status, etag) = (response.status(), response.headers().get(header::ETAG).map(|etag| etag.to_str().unwrap().to_owned()));
    let body = response.json().await.unwrap();
    if status == StatusCode::OK { Ok(etag.unwrap()) } else { Err((status, body)) }
}

fn completion(id: &str, parts: &[(usize, &str)]) -> Value {
    let parts: Vec<_> = parts.iter().map(|(number, etag)| json!({ "part_number": number, "etag": etag, "url": "x" })).collect();
    json!({ "path": "weights.bin", "upload_id": id, "parts": parts })
}

async fn fetched(server: &Server) -> (StatusCode, Vec<u8>) {
    let request = server.anonymous(Method::GET, &format!("{ROOT}/artifacts/0/run/artifacts/weights.bin")).bearer_auth(TOKEN);
    let response = request.send().await.unwrap();
    (response.status(), response.bytes().await.unwrap().to_vec())
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).map(|path| count(&path) + 1).sum()
}

#[tokio::test]
async fn a_file_comes_in_parts_in_any_order_and_is_put_together() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    let (id, urls) = begin(&server, 3).await;
    let contents = [vec![1_u8; 3 << 20], vec![2; 1 << 20], vec![3; 5]];
    let third = send(&urls[2], &contents[2]).await.unwrap();
    send(&urls[0], b"broken off, and sent again").await.unwrap();
    let (first, second) = tokio::join!(send(&urls[0], &contents[0]), send(&urls[1], &contents[1]));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(fetched(&server).await.0, StatusCode::NOT_FOUND, "nothing is there before it is whole");

    let whole = completion(&id, &[(1, &first), (2, &second), (3, &third)]);
    for (body, says) in [
        (completion(&id, &[(1, &first), (2, &second)]), "2 are named of 3"),
        (completion(&id, &[(2, &second), (1, &first), (3, &third)]), "where part 1 belongs"),
        (completion(&id, &[(1, &first), (2, &first), (3, &third)]), "part 2 has the ETag"),
        (json!({ "path": "weights.bin", "parts": [] }), "'upload_id'"),
        (json!({ "upload_id": id, "parts": [] }), "'path'"),
    ] {
        let (status, refused) = ask(&server, "complete", "0/run/artifacts", body).await;
        assert_eq!((status, &refused["error_code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMETER_VALUE")), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(says), "{refused}");
    }
    let (status, elsewhere) = ask(&server, "complete", "another/folder", whole.clone()).await;
    assert_eq!((status, &elsewhere["error_code"]), (StatusCode::NOT_FOUND, &json!("RESOURCE_DOES_NOT_EXIST")));
    for _ in 0..2 {
        assert_eq!(ask(&server, "complete", "0/run/artifacts", whole.clone()).await, (StatusCode::OK, json!({})), "asked again: the same");
    }
    assert!(fetched(&server).await == (StatusCode::OK, contents.concat()));
    assert_eq!(count(&folder.path().join("artifacts/parts")), 0, "the parts are gone");
    assert_eq!(count(&folder.path().join("artifacts/incoming")), 0);
    let (status, late) = send(&urls[0], b"late").await.unwrap_err();
    assert_eq!((status, &late["error_code"]), (StatusCode::NOT_FOUND, &json!("RESOURCE_DOES_NOT_EXIST")));
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_upload_is_refused_and_one_given_up_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(options(&folder)).await;
    for (below, body, says) in [
        ("0/run", json!({ "num_parts": 2 }), "'path'"),
        ("0/run", json!({ "path": "a", "num_parts": 0 }), "num_parts 0"),
        ("0/run", json!({ "path": "a", "num_parts": 10_001 }), "num_parts 10001"),
        ("0/run", json!({ "path": "a", "num_parts": "x" }), "integer"),
        ("0/run", json!({ "path": "..", "num_parts": 1 }), "could lead out"),
        ("x%2F..%2F..%2Fetc", json!({ "path": "passwd", "num_parts": 1 }), "could lead out"),
        ("%2Fetc", json!({ "path": "passwd", "num_parts": 1 }), "absolute"),
    ] {
        let (status, refused) = ask(&server, "create", below, body).await;
        assert_eq!((status, &refused["error_code"]), (StatusCode::BAD_REQUEST, &json!("INVALID_PARAMETER_VALUE")), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(says), "{refused}");
    }
    let nobody = server.anonymous(Method::POST, &format!("{ROOT}/mpu/create/0/run")).json(&json!({ "path": "a" }));
    assert_eq!(answer(nobody).await.0, StatusCode::UNAUTHORIZED);
    let (id, urls) = begin(&server, 2).await;
    send(&urls[0], b"one").await.unwrap();
    let base = urls[0].trim_end_matches("/1");
    let no_such = format!("{}/mpu/parts/{}/1", base.split_once("/mpu/").unwrap().0, "0".repeat(64));
    for (url, status) in [
        (format!("{base}/3"), StatusCode::BAD_REQUEST),
        (format!("{base}/0"), StatusCode::BAD_REQUEST),
        (format!("{base}/x"), StatusCode::BAD_REQUEST),
        (no_such, StatusCode::NOT_FOUND),
    ] {
        let (got, body) = send(&url, b"x").await.unwrap_err();
        assert!(got == status && body["error_code"].is_string(), "{url}: {got} {body}");
    }
    let given_up = json!({ "path": "weights.bin", "upload_id": id });
    assert_eq!(ask(&server, "abort", "0/run/artifacts", given_up.clone()).await.0, StatusCode::OK);
    assert_eq!(ask(&server, "abort", "0/run/artifacts", given_up).await.0, StatusCode::NOT_FOUND);
    assert_eq!(send(&urls[1], b"two").await.unwrap_err().0, StatusCode::NOT_FOUND);
    assert_eq!(count(&folder.path().join("artifacts/parts")), 0);
    assert_eq!(fetched(&server).await.0, StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn an_upload_goes_on_after_a_restart_and_is_collected_when_nobody_does() {
    let folder = tempfile::tempdir().unwrap();
    let clock = StoodClock::at(1);
    let server = Server::start_at(options(&folder), clock.clone()).await;
    let (id, urls) = begin(&server, 2).await;
    let first = send(&urls[0], b"one ").await.unwrap();
    let (_, forgotten) = begin(&server, 1).await;
    send(&forgotten[0], b"never completed").await.unwrap();
    let before = server.base.clone();
    server.stop().await;

    let server = Server::start_at(options(&folder), clock.clone()).await;
    clock.set(DAY_US / 2);
    let second = send(&urls[1].replace(&before, &server.base), b"two").await.unwrap();
    clock.set(DAY_US + 2);
    assert_eq!(server.app.collect_multiparts().await.unwrap(), 1, "the one that nobody touched for a day");
    assert_eq!(send(&forgotten[0].replace(&before, &server.base), b"x").await.unwrap_err().0, StatusCode::NOT_FOUND);
    let (status, body) = ask(&server, "complete", "0/run/artifacts", completion(&id, &[(1, &first), (2, &second)])).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(fetched(&server).await, (StatusCode::OK, b"one two".to_vec()));
    clock.set(3 * DAY_US);
    assert_eq!(server.app.collect_multiparts().await.unwrap(), 1, "and that one was completed");
    assert_eq!(server.app.collect_multiparts().await.unwrap(), 0);
    assert_eq!(count(&folder.path().join("artifacts/parts")), 0);
    assert_eq!(fetched(&server).await.0, StatusCode::OK);
    server.stop().await;
}

#[tokio::test]
async fn an_address_opens_one_file_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let clock = StoodClock::at(1);
    let server = Server::start_at(options(&folder), clock.clone()).await;
    let put = server.anonymous(Method::PUT, &format!("{ROOT}/artifacts/a/b%20c.bin")).bearer_auth(TOKEN).body("0123456789");
    assert_eq!(answer(put).await.0, StatusCode::OK);
    let presign = |path: &str| answer(server.anonymous(Method::GET, &format!("{ROOT}/presigned/{path}")).bearer_auth(TOKEN));
    let (status, given) = presign("a/b%20c.bin").await;
    assert_eq!((status, &given["file_size"], &given["headers"]), (StatusCode::OK, &json!(10), &json!({})), "{given}");
    let url = given["url"].as_str().unwrap();
    let fetch = async |url: &str| {
        let response = Client::new().get(url).header(header::RANGE, "bytes=2-4").send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    };
    assert_eq!(fetch(url).await, (StatusCode::PARTIAL_CONTENT, "234".to_owned()));
    for other in [url.replace("size_bytes=10", "size_bytes=11"), format!("{url}0"), url.replace("until_us=", "until_us=9")] {
        let (status, body) = fetch(&other).await;
        assert!(status == StatusCode::FORBIDDEN && body.contains("PERMISSION_DENIED"), "{other}: {status} {body}");
    }
    assert_eq!(presign("a/none").await.0, StatusCode::NOT_FOUND);
    assert_eq!(presign("a%2F..%2F..%2Fb").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(answer(server.anonymous(Method::GET, &format!("{ROOT}/presigned/a/b%20c.bin"))).await.0, StatusCode::UNAUTHORIZED);
    clock.set(300_000_002);
    assert_eq!(fetch(url).await.0, StatusCode::FORBIDDEN, "it expired");
    server.stop().await;
}
