//! The port that an API asks: who bears this token?

use std::sync::Arc;

use parpen_base::{Boxed, Clock};
use parpen_model::ports::MetaStore;
use parpen_model::{Api, Condition};

use crate::{Actor, Power, Token, may, redeem};

/// Who stands behind tokens: this service itself, or another that it asks.
pub trait Bearers: Send + Sync {
    /// The bearer of a token, with the token.
    fn bearer<'a>(&'a self, text: &'a str) -> Boxed<'a, Result<(Actor, Token), Condition>>;
    /// Whether a service shows this token beside its user's, and not just anybody.
    fn is_service<'a>(&'a self, text: &'a str) -> Boxed<'a, Result<bool, Condition>>;
    /// Where people log in, if it is not here.
    fn elsewhere(&self) -> Option<&str>;
}

/// Tokens that this service gave.
pub struct OwnTokens {
    meta: Arc<dyn MetaStore>,
    clock: Arc<dyn Clock>,
    api: Api,
}

impl OwnTokens {
    /// Those given on one side.
    pub fn new(meta: Arc<dyn MetaStore>, clock: Arc<dyn Clock>, api: Api) -> OwnTokens {
        OwnTokens { meta, clock, api }
    }
}

impl Bearers for OwnTokens {
    fn bearer<'a>(&'a self, text: &'a str) -> Boxed<'a, Result<(Actor, Token), Condition>> {
        Box::pin(redeem(&*self.meta, &*self.clock, self.api, text))
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
