//! Quality of service, in r2r's builder style.

mod overrides;
mod watch;

use std::{fmt, str::FromStr, time::Duration};

pub use watch::EndpointInfo;
pub(crate) use watch::QosWatch;

/// Whether every message must arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliability {
    /// Sent again until received.
    Reliable,
    /// May be lost.
    BestEffort,
}

/// Whether a late subscriber gets earlier messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Only messages published from now on.
    Volatile,
    /// The publisher keeps its newest messages for late subscribers ("latched").
    TransientLocal,
}

/// A policy that no ROS tool knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{given}\" is not one of {accepted}")]
pub struct ParsePolicyError {
    given: String,
    accepted: String,
}

/// A policy's spelling, as `ros2 topic --qos-...` and parameters have it.
macro_rules! spelled {
    ($policy:ident { $($variant:ident = $name:literal),+ }) => {
        impl $policy {
            pub(crate) const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];
        }

        impl fmt::Display for $policy {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $name),+ })
            }
        }

        impl FromStr for $policy {
            type Err = ParsePolicyError;

            fn from_str(text: &str) -> Result<Self, ParsePolicyError> {
                match text {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(ParsePolicyError { given: text.into(), accepted: [$($name),+].join(", ") }),
                }
            }
        }
    };
}

spelled!(Reliability { Reliable = "reliable", BestEffort = "best_effort" });
spelled!(Durability { Volatile = "volatile", TransientLocal = "transient_local" });

/// How many messages are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum History {
    /// The newest so many, at least one.
    KeepLast(usize),
    /// All, within the limits of the middleware.
    KeepAll,
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeepLast(depth) => write!(f, "keep_last({depth})"),
            Self::KeepAll => f.write_str("keep_all"),
        }
    }
}

/// Quality of service of a publisher or subscription. The default is reliable, volatile, keep last 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QosProfile {
    /// History policy.
    pub history: History,
    /// Reliability policy.
    pub reliability: Reliability,
    /// Durability policy.
    pub durability: Durability,
    /// How long a message is worth delivering; for ever by default. The embedded stack announces it but keeps messages longer.
    pub lifespan: Option<Duration>,
}

impl Default for QosProfile {
    fn default() -> Self {
        Self { history: History::KeepLast(10), reliability: Reliability::Reliable, durability: Durability::Volatile, lifespan: None }
    }
}

impl QosProfile {
    /// For streams of sensor data: best effort, keep last 5. Meets any publisher.
    #[must_use]
    pub fn sensor_data() -> Self {
        Self::default().keep_last(5).best_effort()
    }

    /// For what holds until it is said anew (maps, states, descriptions): reliable, and late subscribers get the newest `depth`.
    #[must_use]
    pub fn latched(depth: usize) -> Self {
        Self::default().keep_last(depth).transient_local()
    }

    /// What services use.
    #[must_use]
    pub fn services_default() -> Self {
        Self::default()
    }

    /// Keeps the newest `depth` messages; 0 counts as 1.
    #[must_use]
    pub fn keep_last(mut self, depth: usize) -> Self {
        self.history = History::KeepLast(depth.max(1));
        self
    }

    /// Keeps all messages, within the limits of the middleware.
    #[must_use]
    pub fn keep_all(mut self) -> Self {
        self.history = History::KeepAll;
        self
    }

    /// Every message must arrive.
    #[must_use]
    pub fn reliable(mut self) -> Self {
        self.reliability = Reliability::Reliable;
        self
    }

    /// Messages may be lost.
    #[must_use]
    pub fn best_effort(mut self) -> Self {
        self.reliability = Reliability::BestEffort;
        self
    }

    /// Late subscribers get the messages which the publisher keeps.
    #[must_use]
    pub fn transient_local(mut self) -> Self {
        self.durability = Durability::TransientLocal;
        self
    }

    /// Messages older than this are not delivered any more.
    #[must_use]
    pub fn lifespan(mut self, lifespan: Duration) -> Self {
        self.lifespan = Some(lifespan);
        self
    }

    /// Late subscribers get only new messages.
    #[must_use]
    pub fn volatile(mut self) -> Self {
        self.durability = Durability::Volatile;
        self
    }
}

impl fmt::Display for QosProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}, {}", self.reliability, self.durability, self.history)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_spelled_as_ros_spells_them() {
        for policy in Reliability::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        for policy in Durability::ALL {
            assert_eq!(policy.to_string().parse(), Ok(policy));
        }
        let error = "loud".parse::<Reliability>().unwrap_err().to_string();
        assert_eq!(error, "\"loud\" is not one of reliable, best_effort");
        assert_eq!(QosProfile::latched(1).to_string(), "reliable, transient_local, keep_last(1)");
    }
}
