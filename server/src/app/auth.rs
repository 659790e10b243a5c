//! Tokens: made here, kept as hashes, compared in constant time.
//!
//! A robot's token is `{name}.{64 hex digits}`, an operator's `op_{name}.{64 hex digits}`, so that the row to compare with is found without comparing all of them.

use edgeflow_core::{OrganisationId, Principal, RobotId, TargetName, operator};
use sha2::{Digest, Sha256};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq;

use crate::app::{App, AppError};

/// What a token is stored as. Tokens have 256 random bits, so a plain hash cannot be searched.
pub(crate) fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// 256 random bits in hex.
pub(crate) fn random_hex() -> Result<String, AppError> {
    Ok(hex::encode(random_bytes::<32>()?))
}

/// Random bytes.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], AppError> {
    let mut bytes = [0; N];
    let asking = AppError::artifact("asking the system for random bytes");
    getrandom::fill(&mut bytes).map_err(|error| asking(std::io::Error::other(error.to_string())))?;
    Ok(bytes)
}

/// How long the hash of the administrator's token is taken for what the store has.
const ADMIN_HASH_FRESH: Duration = Duration::from_secs(1);

/// What the store last said of the administrator's token.
#[derive(Default)]
pub(crate) struct AdminHash(Mutex<Option<(Instant, [u8; 32])>>);

impl AdminHash {
    fn lock(&self) -> MutexGuard<'_, Option<(Instant, [u8; 32])>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> Option<[u8; 32]> {
        self.lock().filter(|(since, _)| since.elapsed() < ADMIN_HASH_FRESH).map(|(_, hash)| hash)
    }

    fn keep(&self, hash: [u8; 32]) {
        *self.lock() = Some((Instant::now(), hash));
    }

    fn forget(&self) {
        *self.lock() = None;
    }
}

impl App {
    /// Makes sure there is an administrator's token: `given`, else the one from before, else a new one, which is returned
    /// to be shown once.
    pub async fn ensure_admin_token(&self, given: Option<&str>) -> Result<Option<String>, AppError> {
        if let Some(token) = given {
            if token.len() < 8 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(AppError::Invalid(
                    "the administrator's token has fewer than 8 characters, or ones a header cannot carry".to_owned(),
                ));
            }
            self.stores.server.set_admin_token_hash(hash(token)).await?;
            self.admin_hash.forget();
            return Ok(None);
        }
        if self.stores.server.admin_token_hash().await?.is_some() {
            return Ok(None);
        }
        let token = random_hex()?;
        self.stores.server.set_admin_token_hash(hash(&token)).await?;
        self.admin_hash.forget();
        Ok(Some(token))
    }

    /// The hash of the administrator's token, read from the store once in a while: every request asks, and another server on
    /// the same store may change it.
    async fn admin_hash(&self) -> Result<[u8; 32], AppError> {
        if let Some(hash) = self.admin_hash.fresh() {
            return Ok(hash);
        }
        let hash = self.stores.server.admin_token_hash().await?.unwrap_or_default();
        self.admin_hash.keep(hash);
        Ok(hash)
    }

    /// Who a bearer token belongs to.
    pub async fn authenticate(&self, token: &str) -> Result<Principal, AppError> {
        let given = hash(token);
        let admin = self.admin_hash().await?;
        if bool::from(given.ct_eq(&admin)) {
            return Ok(Principal::administrator());
        }
        if let Some(name) = operator::name_in(token) {
            let operator = self.operator_of(&name, given).await?.ok_or(AppError::Unauthenticated)?;
            return Ok(Principal::operator(operator.organisation, operator.name));
        }
        let name = token.split_once('.').map(|(name, _)| name).ok_or(AppError::Unauthenticated)?;
        let robot = self.robot_of(name, given).await?.ok_or(AppError::Unauthenticated)?;
        Ok(Principal::robot(robot.organisation, robot.name))
    }

    /// The robot `name`, if the hash is that of its token and it was not revoked.
    pub(crate) async fn robot_of(&self, name: &str, given: [u8; 32]) -> Result<Option<RobotId>, AppError> {
        // An unknown name is compared too, so that its answer takes as long.
        let stand_in = || TargetName::new("nobody").ok();
        let known = TargetName::new(name).ok();
        let Some(lookup) = known.clone().or_else(stand_in) else { return Ok(None) };
        let target = self.stores.targets.target_anywhere(&lookup).await?;
        let expected = target.as_ref().map_or([0; 32], |target| target.token_hash);
        let same = bool::from(given.ct_eq(&expected));
        Ok(target.filter(|_| same && known.is_some()).map(|target| target.id))
    }

    /// The robot a principal is about.
    pub(crate) fn robot_id(organisation: &OrganisationId, name: &TargetName) -> RobotId {
        RobotId { organisation: organisation.clone(), name: name.clone() }
    }
}
