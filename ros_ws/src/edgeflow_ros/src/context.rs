//! A program's connection to ROS 2: its arguments and its session.

use crate::{
    args::Arguments,
    error::{Error, Result},
    logging::{self, Logger},
    qos::QosWatch,
    stack,
};
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::watch;

/// A program's connection to ROS 2. Clones are the same connection.
///
/// On the embedded stack this is a zenoh session with the router that `EDGEFLOW_ROS_ROUTER` names
/// (default `127.0.0.1:7447`); `ROS_DOMAIN_ID`, `ZENOH_SESSION_CONFIG_URI` and `ZENOH_CONFIG_OVERRIDE`
/// are honoured as in `rmw_zenoh_cpp`. A router that comes later is found. Create it and everything
/// of it on a multi-threaded tokio runtime.
#[derive(Clone)]
pub struct Context(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) arguments: Arguments,
    pub(crate) logger: Arc<Logger>,
    pub(crate) session: stack::Session,
    pub(crate) qos_watch: Arc<QosWatch>,
    closed: watch::Sender<bool>,
}

impl Context {
    /// From the program's own arguments.
    ///
    /// # Errors
    /// Malformed ROS arguments, unreadable parameter files, a malformed router address, a stack that cannot start.
    pub fn create() -> Result<Self> {
        Self::builder().arguments(std::env::args().skip(1)).build()
    }

    /// From arguments without the program's name.
    ///
    /// # Errors
    /// As [`Context::create`]. With r2r also when the arguments are not the program's own, which rcl reads by itself.
    pub fn with_args<I: IntoIterator<Item = String>>(arguments: I) -> Result<Self> {
        Self::builder().arguments(arguments).build()
    }

    /// For programs (and tests) that bring their own router.
    #[must_use]
    pub fn builder() -> ContextBuilder {
        ContextBuilder::default()
    }

    /// The arguments that are not for ROS, in their order.
    #[must_use]
    pub fn non_ros_args(&self) -> &[String] {
        &self.0.arguments.rest
    }

    /// Leaves the graph at once, with every node of this context; their streams end, and further calls fail.
    ///
    /// # Errors
    /// When the stack cannot close cleanly.
    pub fn shutdown(&self) -> Result<()> {
        if self.0.closed.send_replace(true) {
            return Ok(());
        }
        // What was logged goes out while there still is a /rosout.
        self.0.logger.flush();
        self.0.session.shutdown()
    }

    /// Whether [`Context::shutdown`] was called.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        *self.0.closed.borrow()
    }

    pub(crate) fn ensure_open(&self, operation: impl FnOnce() -> String) -> Result<()> {
        if self.is_shut_down() { Err(Error::ShutDown { operation: operation() }) } else { Ok(()) }
    }

    /// Resolves when the context is shut down.
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closed = self.0.closed.subscribe();
        async move {
            // An error means that the context is gone, which is closed too.
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A program that fails says why, even if it does not get as far as shutting down.
        self.logger.flush();
    }
}

/// Builds a [`Context`].
#[derive(Clone, Debug, Default)]
pub struct ContextBuilder {
    arguments: Vec<String>,
    router: Option<SocketAddr>,
}

impl ContextBuilder {
    /// Arguments without the program's name.
    #[must_use]
    pub fn arguments<I: IntoIterator<Item = String>>(mut self, arguments: I) -> Self {
        self.arguments = arguments.into_iter().collect();
        self
    }

    /// The router to connect to, instead of the one the environment names. Of no meaning with r2r.
    #[must_use]
    pub fn router(mut self, router: SocketAddr) -> Self {
        self.router = Some(router);
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// As [`Context::create`].
    pub fn build(self) -> Result<Context> {
        let arguments = Arguments::parse(self.arguments.iter().cloned())?;
        logging::environment();
        let session = stack::Session::open(&self.arguments, self.router)?;
        Ok(Context(Arc::new(Inner {
            arguments,
            logger: Logger::new(),
            session,
            qos_watch: Arc::default(),
            closed: watch::Sender::new(false),
        })))
    }
}
