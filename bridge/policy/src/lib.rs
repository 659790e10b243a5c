//! What becomes of a topic's values under a telemetry policy: windows, single values, a budget. Pure: moments are handed in,
//! as microseconds of a clock that only runs forward, and nothing here knows a topic, a disk or a socket.

mod budget;
mod gate;
mod number;
mod reading;
mod state;
mod tap;

pub use budget::Budget;
pub use number::Numbers;
pub use reading::Reading;
pub use state::{MAX_STATES, OTHER, States, add_states};
pub use tap::{Kind, Tap, Values, Watched};
