//! What becomes of a topic's values under a telemetry policy: windows, single values, triggers, a budget, and what is given up when the host is short. Pure: moments are handed in,
//! as microseconds of a clock that only runs forward, and nothing here knows a topic, a disk or a socket.

mod budget;
mod condition;
mod gate;
mod number;
mod reading;
mod state;
mod survive;
mod tap;
mod trigger;

pub use budget::Budget;
pub use condition::{Condition, Known, Reference, Type};
pub use number::Numbers;
pub use reading::Reading;
pub use state::{MAX_STATES, OTHER, States, add_states};
pub use survive::{Host, Shift, Survival, Thresholds};
pub use tap::{Kind, Tap, Values, Watched};
pub use trigger::{Look, Trigger, parse, read};
