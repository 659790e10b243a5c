//! Digests: the identity of a file and, over a canonical list of files, of a bundle.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// A SHA-256 digest, written `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Digest of bytes in memory.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(Sha256::digest(bytes).into())
    }

    /// Digest of everything `reader` gives, without holding it, and how many bytes it gave.
    ///
    /// # Errors
    /// The reader's own.
    pub fn of_reader(mut reader: impl Read) -> io::Result<(Self, u64)> {
        let mut tee = HashingReader::new(&mut reader);
        io::copy(&mut tee, &mut io::sink())?;
        Ok(tee.finish())
    }

    /// Digest from its 64 hex digits, either case.
    ///
    /// # Errors
    /// [`Error::Digest`] when `hex` is anything else.
    pub fn from_hex(hex: &str) -> Result<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hex, &mut bytes).map_err(|_| Error::Digest { given: hex.to_owned() })?;
        Ok(Digest(bytes))
    }

    /// Its 64 hex digits, lower case, without the prefix.
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Digest {
    /// From the output of another SHA-256 implementation, such as one that hashed while it downloaded.
    fn from(bytes: [u8; 32]) -> Self {
        Digest(bytes)
    }
}

/// What a digest is written with before its digits.
const PREFIX: &str = "sha256:";

/// A digest as text, in place: answers carry one each.
struct Text([u8; PREFIX.len() + 64]);

impl Text {
    fn of(digest: &Digest) -> Self {
        let mut text = [0; PREFIX.len() + 64];
        let (prefix, digits) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(digest.0) {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            *pair = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        }
        Self(text)
    }

    fn as_str(&self) -> &str {
        // Nothing but ASCII was written.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Text::of(self).as_str())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let hex = text.strip_prefix(PREFIX).ok_or_else(|| Error::Digest { given: text.to_owned() })?;
        Digest::from_hex(hex).map_err(|_| Error::Digest { given: text.to_owned() })
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(Text::of(self).as_str())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// One file of a bundle, by name, size and content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleFile {
    /// Path inside the bundle.
    pub path: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// SHA-256 of the content; 64 hex digits without prefix in JSON, as in the address of an artifact.
    #[serde(with = "bare_hex")]
    pub sha256: Digest,
}

/// Digest of a bundle: SHA-256 over one line `<path>\0<size>\0<sha256 hex>\n` per file, sorted by path bytewise.
///
/// The order of `files` does not matter. Paths are ones a bundle allows, hence without `\0` and line breaks, and
/// differ from each other; [`Bundle`](crate::Bundle) sees to both.
pub fn bundle_digest(files: &[BundleFile]) -> Digest {
    let mut sorted: Vec<&BundleFile> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    let mut hasher = Sha256::new();
    for file in sorted {
        hasher.update(format!("{}\0{}\0{}\n", file.path, file.size_bytes, file.sha256.hex()));
    }
    Digest(hasher.finalize().into())
}

mod bare_hex {
    use super::Digest;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(digest: &Digest, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&digest.hex())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        Digest::from_hex(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Hashes and counts what passes through it.
pub(crate) struct HashingReader<R> {
    inner: R,
    hasher: Sha256,
    count: u64,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        HashingReader { inner, hasher: Sha256::new(), count: 0 }
    }

    pub(crate) fn finish(self) -> (Digest, u64) {
        (Digest(self.hasher.finalize().into()), self.count)
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(&buf[..n]);
        self.count += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(path: &str, content: &[u8]) -> BundleFile {
        BundleFile { path: path.to_owned(), size_bytes: content.len() as u64, sha256: Digest::of(content) }
    }

    #[test]
    fn canonical_text_is_what_the_contract_says() {
        let files = [file("model.onnx", b"abc"), file("edgeflow.yaml", b"")];
        let text = format!(
            "edgeflow.yaml\x000\0{}\nmodel.onnx\x003\0{}\n",
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(bundle_digest(&files), Digest::of(text.as_bytes()));
    }

    #[test]
    fn digest_strings_are_strict() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        for bad in ["", "sha256:", "sha256:ab", &digest.hex(), &format!("sha1:{}", digest.hex()), &format!("{digest}0")] {
            let error = bad.parse::<Digest>().unwrap_err().to_string();
            assert!(error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn a_reader_gives_the_digest_of_its_bytes() {
        let bytes = vec![7; 100_001];
        assert_eq!(Digest::of_reader(&bytes[..]).unwrap(), (Digest::of(&bytes), 100_001));
    }

    #[test]
    fn json_of_a_file_is_the_wire_form() {
        let json = serde_json::to_value(file("model.onnx", b"abc")).unwrap();
        assert_eq!(json["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(serde_json::from_value::<BundleFile>(json).unwrap(), file("model.onnx", b"abc"));
    }

    fn any_files() -> impl Strategy<Value = Vec<BundleFile>> {
        proptest::collection::btree_map("[a-z./_]{1,12}", proptest::collection::vec(any::<u8>(), 0..20), 1..6)
            .prop_map(|map| map.iter().map(|(path, content)| file(path, content)).collect())
    }

    proptest! {
        #[test]
        fn order_does_not_matter(files in any_files(), seed in any::<u64>()) {
            let mut shuffled = files.clone();
            let len = shuffled.len();
            for i in 0..len {
                shuffled.swap(i, (seed as usize).wrapping_mul(i + 7) % len);
            }
            prop_assert_eq!(bundle_digest(&files), bundle_digest(&shuffled));
        }

        #[test]
        fn every_part_of_every_file_matters(files in any_files(), at in any::<prop::sample::Index>(), part in 0..3) {
            let mut changed = files.clone();
            let one = &mut changed[at.index(files.len())];
            match part {
                0 => one.path.push('x'),
                1 => one.size_bytes += 1,
                _ => one.sha256 = Digest::of(one.sha256.as_bytes()),
            }
            prop_assert_ne!(bundle_digest(&files), bundle_digest(&changed));
        }
    }
}
