//! Who a robot is, and how it speaks to its control plane in secret.
//!
//! `edgeflow enroll` makes a key on the robot ([`key`]), gets a certificate for it with a one-time [`BootstrapToken`], and puts
//! both into a folder, an [`Identity`], beside the control plane's CA and the keys that sign its documents ([`DocumentKeys`]).
//! Whoever speaks to the control plane does so through a [`Tunnel`]: one place that knows certificates, whatever the protocol.

mod enrol;
mod error;
mod folder;
mod key;
mod pinned;
mod probe;
mod tls;
mod tunnel;

pub use enrol::{BootstrapToken, enrol, renew};
pub use error::{IdentityError, Result};
pub use folder::{Answer, Identity};
pub use key::{KeyAndRequest, make_key};
pub use pinned::{DocumentKey, DocumentKeys};
pub use probe::{certificate_end_us, peer_certificate};
pub use tls::{Roots, client_config, fingerprint};
pub use tunnel::{Tunnel, split_https};
