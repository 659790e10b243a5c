//! Calling a service of bytes. hiroz's own client gives up after 10 s whatever the caller allows, and
//! loading a model may take longer, so the query is made here, as hiroz and `rmw_zenoh_cpp` make it.

use super::{
    Node,
    codec::ENCAPSULATION,
    quality,
    raw::{RawService, type_info},
};
use crate::{
    error::{Error, Result},
    qos::QosProfile,
};
use hiroz::{GidArray, attachment::Attachment, context::KeyExprFormat, entity::endpoint_gid};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use zenoh::{
    Session, Wait,
    key_expr::KeyExpr,
    liveliness::LivelinessToken,
    query::{ConsolidationMode, QueryTarget},
};

pub(super) struct RawClient {
    session: Arc<Session>,
    key: KeyExpr<'static>,
    gid: GidArray,
    sequence: AtomicI64,
    service: String,
    /// Shows the client in the graph.
    _token: LivelinessToken,
}

impl Node {
    pub(super) fn raw_client(&self, service: &str, name: &str, hash: &str) -> Result<RawClient> {
        let fail = |e: String| Error::stack(format!("call {service}"), e);
        let builder = self
            .0
            .create_client_impl::<RawService>(service, Some(type_info(name, hash)?))
            .with_qos(quality(QosProfile::services_default()));
        let (entity, session, format) = (builder.entity(), self.0.session().clone(), KeyExprFormat::default());
        let key = format.topic_key_expr(entity).map_err(|e| fail(e.to_string()))?;
        let token = format.liveliness_key_expr(entity, &session.zid()).map_err(|e| fail(e.to_string()))?;
        let token = session.liveliness().declare_token((*token).clone()).wait().map_err(|e| fail(e.to_string()))?;
        let gid = endpoint_gid(entity).ok_or_else(|| fail("the client has no node".into()))?;
        Ok(RawClient { session, key: (*key).clone(), gid, sequence: AtomicI64::new(1), service: service.to_string(), _token: token })
    }
}

impl RawClient {
    /// Body to body.
    pub(super) async fn call(&self, body: Vec<u8>, timeout: Duration) -> Result<Vec<u8>> {
        let fail = |reason: String| Error::ServiceCall { name: self.service.clone(), reason };
        let mut request = Vec::with_capacity(ENCAPSULATION.len() + body.len());
        request.extend_from_slice(&ENCAPSULATION);
        request.extend(body);
        // Longer than the caller waits, so that it is the caller's time-out which is reported.
        let lifetime = timeout.saturating_add(Duration::from_secs(1));
        let query = self.session.get(&self.key).target(QueryTarget::All).consolidation(ConsolidationMode::None).timeout(lifetime);
        let attachment = Attachment::new(self.sequence.fetch_add(1, Ordering::Relaxed), self.gid);
        let replies = query.payload(request).attachment(attachment).await.map_err(|e| fail(e.to_string()))?;
        let mut refusal = "no server answered: it is absent, or it went away".to_string();
        while let Ok(reply) = replies.recv_async().await {
            match reply.result() {
                Ok(sample) => {
                    let response = sample.payload().to_bytes();
                    return match response.strip_prefix(&ENCAPSULATION[..2]).and_then(|rest| rest.get(2..)) {
                        Some(body) => Ok(body.to_vec()),
                        None => Err(fail("the answer is not little-endian CDR".into())),
                    };
                }
                Err(error) => refusal = error.payload().try_to_string().map_or_else(|_| refusal.clone(), |text| text.into_owned()),
            }
        }
        Err(fail(refusal))
    }

    pub(super) async fn available(&self, node: &Node) -> Result<()> {
        loop {
            // Armed before the look, so that no change falls in between.
            let change = node.graph_change();
            if node.has_service(&self.service) {
                return Ok(());
            }
            change.await;
        }
    }
}
