//! What of SQLite's journal (the `-wal` file) is lost that was on the disk. SQLite itself does not tell: it takes the journal up to
//! the first frame whose checksum is wrong, since that is also how the last, unfinished transaction looks after a power cut. But with
//! `synchronous = FULL` no transaction begins before the one before it was flushed: so where frames follow a later commit, the wrong one
//! was on the disk once.
//!
//! The format is <https://www.sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// Of the header's first word, whose last bit says in which order the checksum takes its words.
const MAGIC: u32 = 0x377f_0682;
const MAX_PAGE_BYTES: u32 = 65_536;

/// What SQLite will not take of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Unread {
    /// Frames are wrong that were flushed.
    pub(crate) flushed: bool,
    /// From the first wrong frame to the last one of the same journal.
    pub(crate) bytes: u64,
}

/// Looks at it before SQLite does, which carries over what it takes and removes the rest. Nothing when there is no journal, or it cannot be
/// read.
pub(crate) fn unread(path: &Path) -> Unread {
    File::open(path).and_then(|file| look(BufReader::new(file))).unwrap_or_default()
}

fn look(mut journal: impl Read) -> io::Result<Unread> {
    let mut header = [0; HEADER_BYTES];
    if !filled(&mut journal, &mut header)? {
        return Ok(Unread::default());
    }
    let (magic, page_bytes) = (word(&header, 0), word(&header, 8));
    let big_endian = magic & 1 == 1;
    let mut sum = add((0, 0), &header[..24], big_endian);
    if magic & !1 != MAGIC || !(512..=MAX_PAGE_BYTES).contains(&page_bytes) || sum != (word(&header, 24), word(&header, 28)) {
        // Written and flushed before any frame: where a frame follows, it was on the disk.
        let bytes = io::copy(&mut journal, &mut io::sink())?;
        return Ok(Unread { flushed: bytes > 0, bytes });
    }
    let salt = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes as usize];
    let (mut wrong, mut commit_since) = (false, false);
    let (mut unread, mut passed) = (Unread::default(), 0);
    while filled(&mut journal, &mut frame)? {
        // Else it is from an earlier round: a journal begins anew in its place.
        let of_this_journal = &frame[8..16] == salt;
        unread.flushed |= wrong && commit_since && of_this_journal;
        sum = add(add(sum, &frame[..8], big_endian), &frame[FRAME_HEADER_BYTES..], big_endian);
        // From the first wrong frame on all sums are wrong; what those frames say of themselves still tells.
        wrong |= !of_this_journal || sum != (word(&frame, 16), word(&frame, 20));
        commit_since |= wrong && of_this_journal && word(&frame, 4) != 0;
        passed += if wrong { frame.len() as u64 } else { 0 };
        if wrong && of_this_journal {
            unread.bytes = passed;
        }
    }
    Ok(unread)
}

/// False at the end of the file.
fn filled(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// SQLite's checksum over words of 32 bits, two at a time.
fn add(mut sum: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let number = |word: &[u8]| {
        let number = u32::from_be_bytes(word.try_into().unwrap_or_default());
        if big_endian { number } else { number.swap_bytes() }
    };
    for pair in bytes.chunks_exact(8) {
        let (first, second) = pair.split_at(4);
        sum.0 = sum.0.wrapping_add(number(first)).wrapping_add(sum.1);
        sum.1 = sum.1.wrapping_add(number(second)).wrapping_add(sum.0);
    }
    sum
}
