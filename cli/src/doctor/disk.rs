//! Room on a disk: bytes, and inodes, of which a disk of small files runs out first.

use indicatif::HumanBytes;
use rustix::fs::statvfs;
use std::path::Path;

use super::Check;

/// Below this something breaks soon: the edge log gives up its lower classes at 64 MB.
const LEAST_BYTES: u64 = 64 << 20;
/// Below this it is time to look.
const LITTLE_BYTES: u64 = 1 << 30;
const LEAST_INODES: u64 = 1_000;
const LITTLE_INODES: u64 = 50_000;

pub(super) fn check(folder: &Path) -> Check {
    let shown = folder.display();
    let found = match statvfs(folder) {
        Ok(found) => found,
        Err(error) => {
            return Check::fail("disk", format!("{shown} cannot be looked at: {error}"), "name a folder that is there, or make it");
        }
    };
    let bytes = (found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize));
    judge(&shown.to_string(), bytes, (found.f_favail, found.f_files))
}

/// Free and all of both; a file system that has no sizes of its own says 0 of 0.
pub(super) fn judge(what: &str, (bytes, all): (u64, u64), (inodes, all_inodes): (u64, u64)) -> Check {
    let fact = format!("{what} has {} of {} free, {inodes} of {all_inodes} inodes", HumanBytes(bytes), HumanBytes(all));
    let remedy = "free some: old captures, core files, container images; or give it a disk of its own. Without room a bridge keeps critical entries only, a server nothing";
    let below = |bytes_limit: u64, inode_limit: u64, share: u64| {
        (all > 0 && bytes < bytes_limit.min(all / share)) || (all_inodes > 0 && inodes < inode_limit.min(all_inodes / share))
    };
    if below(LEAST_BYTES, LEAST_INODES, 20) {
        Check::fail("disk", fact, remedy)
    } else if below(LITTLE_BYTES, LITTLE_INODES, 10) {
        Check::warn("disk", fact, remedy)
    } else {
        Check::ok("disk", fact)
    }
}
