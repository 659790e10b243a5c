//! The ways to the control plane that the parameters ask for, as one uplink.

use edgeflow_identity::Tunnel;
use edgeflow_uplink::{Fallback, Http, HttpConfig, Mqtt, MqttConfig, Patience, Uplink, UplinkError};

use crate::{Config, Secure};

/// Names that the parameter `uplinks` may hold.
pub(crate) const UPLINKS: [&str; 3] = ["mqtt", "zenoh", "http"];

impl Config {
    /// The uplinks, as one that goes on with the next while a preferred one does not answer.
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn uplink(&self) -> Result<Box<dyn Uplink>, UplinkError> {
        let mut uplinks = self.uplinks.iter().map(|name| self.named(name)).collect::<Result<Vec<_>, _>>()?;
        if uplinks.len() == 1
            && let Some(only) = uplinks.pop()
        {
            return Ok(only);
        }
        Ok(Box::new(Fallback::new(uplinks, Patience::default())))
    }

    fn named(&self, name: &str) -> Result<Box<dyn Uplink>, UplinkError> {
        let token = self.token.expose();
        let tunnel = |pick: fn(&Secure) -> &Tunnel| self.secure.as_ref().map(|secure| pick(secure).clone());
        match name {
            "mqtt" => {
                let tunnel = tunnel(|secure| &secure.mqtt);
                Ok(Box::new(Mqtt::new(MqttConfig { tunnel, ..MqttConfig::new(&self.mqtt, &self.robot, token) })?))
            }
            "http" => {
                let tunnel = tunnel(|secure| &secure.http);
                Ok(Box::new(Http::new(HttpConfig { tunnel, ..HttpConfig::new(&self.http, &self.robot, token) })?))
            }
            "zenoh" => self.zenoh_uplink(),
            other => Err(UplinkError::Unknown { name: other.to_owned() }),
        }
    }

    #[cfg(feature = "zenoh")]
    fn zenoh_uplink(&self) -> Result<Box<dyn Uplink>, UplinkError> {
        use edgeflow_uplink::{Zenoh, ZenohConfig};
        let identity = self.secure.as_ref().map(|secure| &secure.identity).ok_or(UplinkError::NoCertificate)?;
        let config = ZenohConfig::new(&self.zenoh, &self.robot, identity.ca(), identity.pem(), identity.pem());
        Ok(Box::new(Zenoh::new(config)?))
    }

    #[cfg(not(feature = "zenoh"))]
    fn zenoh_uplink(&self) -> Result<Box<dyn Uplink>, UplinkError> {
        Err(UplinkError::NotBuilt)
    }
}
