//! The least a server can do with a body: hash it, write it, have it on disk.

use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use std::{convert::Infallible, fs::File, io::Write, path::PathBuf};
use tokio::net::TcpListener;

/// Serves until the process ends; every body goes into `folder`, under its digest. Its address.
pub(crate) async fn serve(folder: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            let folder = folder.clone();
            let service = service_fn(move |request| keep(folder.clone(), request));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

async fn keep(folder: PathBuf, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let part = folder.join("part");
    let (mut file, mut hasher, mut body) = (File::create(&part).unwrap(), Sha256::new(), request.into_body());
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        hasher.update(&data);
        file.write_all(&data).unwrap();
    }
    file.sync_all().unwrap();
    std::fs::rename(part, folder.join(hex::encode(hasher.finalize()))).unwrap();
    File::open(folder).unwrap().sync_all().unwrap();
    Ok(Response::new(Empty::new()))
}
