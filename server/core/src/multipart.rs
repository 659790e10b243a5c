//! Uploads that come in parts: which parts make the file.

use edgeflow_bundle::Digest;

use crate::{CoreError, OrganisationId, artifact::ArtifactPath};

/// Most parts of one upload, as S3 has it.
pub const MAX_PARTS: u32 = 10_000;

/// A file that comes in parts, in any order and several at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MultipartUpload {
    /// Its name, which nobody guesses: whoever knows it may send parts.
    pub id: String,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Where the file will be.
    pub path: ArtifactPath,
    /// How many parts it has, 1 to [`MAX_PARTS`].
    pub parts: u32,
    /// Whether the file was put together.
    pub completed: bool,
    /// The parts that are here, by number.
    pub kept: Vec<KeptPart>,
}

/// A part that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPart {
    /// Its place in the file, from 1.
    pub number: u32,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
    /// How many bytes.
    pub size_bytes: u64,
}

/// A part as the client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPart {
    /// Its place in the file, from 1.
    pub number: i64,
    /// What the client was told when it sent the part: its digest, maybe in quotes. Empty when the client does not say.
    pub etag: String,
}

impl MultipartUpload {
    /// Checks how many parts there are to be.
    ///
    /// # Errors
    /// [`CoreError::BadParts`] when it is none, or too many.
    pub fn check_count(parts: i64) -> Result<u32, CoreError> {
        u32::try_from(parts)
            .ok()
            .filter(|parts| (1..=MAX_PARTS).contains(parts))
            .ok_or_else(|| CoreError::BadParts { reason: format!("num_parts {parts} is not in 1 to {MAX_PARTS}") })
    }

    /// Checks a part's number.
    ///
    /// # Errors
    /// [`CoreError::BadParts`] when there is no such part.
    pub fn check_number(&self, number: u32) -> Result<(), CoreError> {
        if (1..=self.parts).contains(&number) {
            return Ok(());
        }
        Err(CoreError::BadParts { reason: format!("there is no part {number}: the upload has {}", self.parts) })
    }

    /// Whether the parts that the client names are the file: all of them, in order, each as it came.
    ///
    /// # Errors
    /// [`CoreError::BadParts`] names the first that is not.
    pub fn check_whole(&self, named: &[NamedPart]) -> Result<(), CoreError> {
        let bad = |reason: String| Err(CoreError::BadParts { reason });
        if named.len() != self.parts as usize {
            return bad(format!("{} are named of {}", named.len(), self.parts));
        }
        for (named, number) in named.iter().zip(1..) {
            if named.number != i64::from(number) {
                return bad(format!("part {} is named where part {number} belongs", named.number));
            }
            let Some(part) = self.kept.iter().find(|part| part.number == number) else {
                return bad(format!("part {number} did not come: send it again"));
            };
            let etag = named.etag.trim_matches('"');
            if !etag.is_empty() && !etag.eq_ignore_ascii_case(&part.sha256.hex()) {
                return bad(format!("part {number} has the ETag {}, not {etag}: send it again", part.sha256.hex()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_whole_when_every_part_is_there_as_it_came() {
        let part = |number| KeptPart { number, sha256: Digest::of(&[0]), size_bytes: 1 };
        let upload = MultipartUpload {
            id: "x".into(),
            organisation: OrganisationId::first(),
            path: ArtifactPath::new("a").unwrap(),
            parts: 2,
            completed: false,
            kept: vec![part(1), part(2)],
        };
        let etag = Digest::of(&[0]).hex();
        let named = |number, etag: &str| NamedPart { number, etag: etag.to_owned() };
        upload.check_whole(&[named(1, &format!("\"{etag}\"")), named(2, "")]).unwrap();
        for (parts, says) in [
            (vec![named(1, "")], "1 are named of 2"),
            (vec![named(2, ""), named(1, "")], "part 2 is named where part 1 belongs"),
            (vec![named(1, ""), named(1, "")], "part 1 is named where part 2 belongs"),
            (vec![named(1, ""), named(2, "abc")], "not abc"),
        ] {
            assert!(upload.check_whole(&parts).unwrap_err().to_string().contains(says), "{parts:?}");
        }
        let half = MultipartUpload { kept: vec![part(1)], ..upload };
        assert!(half.check_whole(&[named(1, ""), named(2, "")]).unwrap_err().to_string().contains("part 2 did not come"));
        assert!(half.check_number(2).is_ok() && half.check_number(0).is_err() && half.check_number(3).is_err());
        assert_eq!(MultipartUpload::check_count(10_000).unwrap(), 10_000);
        assert!([0, -1, 10_001].into_iter().all(|count| MultipartUpload::check_count(count).is_err()));
    }
}
