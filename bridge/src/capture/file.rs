//! A capture as an MCAP file with ROS 2's profile: every type's definition is in it, so that it can be read where these interfaces
//! are not installed.

use mcap::{WriteOptions, Writer, records::MessageHeader};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, BufWriter, Read},
    path::Path,
};
use tokio::sync::mpsc;

use super::ring::Kept;

/// Little-endian CDR.
const ENCAPSULATION: [u8; 4] = [0, 1, 0, 0];
const BUFFER_BYTES: usize = 64 * 1024;

/// What a file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// Messages of each topic.
    pub(crate) topics: BTreeMap<String, u64>,
    /// When the first and the last message came, nanoseconds since the Unix epoch.
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
}

/// Writes `before` and then what comes, until nobody sends any more; on the disk when this returns. Blocks.
pub(crate) fn write(path: &Path, before: Vec<Kept>, mut after: mpsc::Receiver<Kept>) -> io::Result<Written> {
    let failed = |error: mcap::McapError| io::Error::other(error);
    let file = BufWriter::with_capacity(BUFFER_BYTES, File::create(path)?);
    let options = WriteOptions::new().profile("ros2").library(concat!("edgeflow ", env!("CARGO_PKG_VERSION")));
    let mut writer = options.create(file).map_err(failed)?;
    let mut written = Written::default();
    // By topic and type: a topic may change its type.
    let mut channels: BTreeMap<(String, &'static str), u16> = BTreeMap::new();
    let mut bytes = Vec::new();
    let mut add = |writer: &mut Writer<BufWriter<File>>, kept: &Kept| -> mcap::McapResult<()> {
        let (topic, ty) = (&kept.channel.topic, kept.channel.ty);
        let key = (topic.clone(), ty.hash);
        let channel_id = match channels.get(&key) {
            Some(id) => *id,
            None => {
                let schema = writer.add_schema(ty.name, "ros2msg", ty.definition().as_bytes())?;
                let metadata = BTreeMap::from([("topic_type_hash".to_owned(), ty.hash.to_owned())]);
                let id = writer.add_channel(schema, topic, "cdr", &metadata)?;
                channels.insert(key, id);
                id
            }
        };
        let count = written.topics.entry(topic.clone()).or_default();
        *count += 1;
        let header = MessageHeader {
            channel_id,
            sequence: u32::try_from(*count).unwrap_or(u32::MAX),
            log_time: kept.at_ns,
            publish_time: kept.at_ns,
        };
        if written.first_ns == 0 {
            written.first_ns = kept.at_ns;
        }
        written.last_ns = kept.at_ns;
        bytes.clear();
        bytes.extend_from_slice(&ENCAPSULATION);
        bytes.extend_from_slice(&kept.body);
        writer.write_to_known_channel(&header, &bytes)
    };
    for kept in before {
        add(&mut writer, &kept).map_err(failed)?;
    }
    while let Some(kept) = after.blocking_recv() {
        add(&mut writer, &kept).map_err(failed)?;
    }
    writer.finish().map_err(failed)?;
    let file = writer.into_inner().into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let (sha256, size_bytes) = digest(path)?;
    Ok(Written { sha256, size_bytes, ..written })
}

/// SHA-256 in hex, and how many bytes.
pub(crate) fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let (mut hasher, mut size, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => {
                hasher.update(buffer.get(..read).unwrap_or_default());
                size += read as u64;
            }
        }
    }
    let hex = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((hex, size))
}
