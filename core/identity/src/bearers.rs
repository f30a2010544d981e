//! The port that an API asks: who bears this token?

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use parpen_base::{Boxed, Clock};
use parpen_model::ports::MetaStore;
use parpen_model::{Api, Condition, Kind};

use crate::secret::token_hash;
use crate::{Actor, Power, Token, may, redeem};

/// Bearers that are remembered at once.
const KNOWN_MOST: usize = 4096;

/// Who stands behind tokens: this service itself, or another that it asks.
pub trait Bearers: Send + Sync {
    /// The bearer of a token, with the token.
    fn bearer<'a>(&'a self, text: &'a str) -> Boxed<'a, Result<(Actor, Token), Condition>>;
    /// Whether a service shows this token beside its user's, and not just anybody.
    fn is_service<'a>(&'a self, text: &'a str) -> Boxed<'a, Result<bool, Condition>>;
    /// Where people log in, if it is not here.
    fn elsewhere(&self) -> Option<&str>;
}

/// The rows that say who bears a token: what [`redeem`] reads.
const READ: [Kind; 4] = [Kind::Token, Kind::Credential, Kind::Principal, Kind::Project];

/// Tokens that this service gave.
pub struct OwnTokens {
    meta: Arc<dyn MetaStore>,
    clock: Arc<dyn Clock>,
    api: Api,
    known: Mutex<Known>,
}

/// Bearers by the hash of their tokens, true as long as nothing has been written since of what says so.
#[derive(Default)]
struct Known {
    writes: u64,
    bearers: HashMap<String, (Actor, Token)>,
}

impl OwnTokens {
    /// Those given on one side.
    pub fn new(meta: Arc<dyn MetaStore>, clock: Arc<dyn Clock>, api: Api) -> OwnTokens {
        OwnTokens { meta, clock, api, known: Mutex::default() }
    }

    fn recall(&self, writes: u64, hash: &str) -> Option<(Actor, Token)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.bearers.get(hash).filter(|_| known.writes == writes)?;
        (found.1.expires > self.clock.now()).then(|| found.clone())
    }

    fn remember(&self, writes: u64, hash: String, bearer: &(Actor, Token)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.writes != writes || known.bearers.len() >= KNOWN_MOST {
            known.bearers.clear();
        }
        known.writes = writes;
        known.bearers.insert(hash, bearer.clone());
    }
}

impl Bearers for OwnTokens {
    fn bearer<'a>(&'a self, text: &'a str) -> Boxed<'a, Result<(Actor, Token), Condition>> {
        Box::pin(async move {
            // Asked before anything is read, so that a write in between is not missed.
            let Some(writes) = self.meta.writes(&READ) else {
                return redeem(&*self.meta, &*self.clock, self.api, text).await;
            };
            let hash = token_hash(text);
            if let Some(bearer) = self.recall(writes, &hash) {
                return Ok(bearer);
            }
            let bearer = redeem(&*self.meta, &*self.clock, self.api, text).await?;
            self.remember(writes, hash, &bearer);
            Ok(bearer)
        })
    }

    fn is_service<'a>(&'a self, text: &'a str) -> Boxed<'a, Result<bool, Condition>> {
        Box::pin(async move {
            match self.bearer(text).await {
                Ok((actor, _)) => Ok(may(&actor, Power::Operate, None).is_ok()),
                // A service's token that has run out makes the request a user's.
                Err(Condition::Unauthenticated(_)) => Ok(false),
                Err(other) => Err(other),
            }
        })
    }

    fn elsewhere(&self) -> Option<&str> {
        None
    }
}
