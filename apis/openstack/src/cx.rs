//! What a handler gets.

use std::sync::Arc;

use http::StatusCode;
use parpen_http::path::Params;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::{Actor, Bearers, Power, Token, may};
use parpen_model::Condition;
use parpen_service::Ports;
use parpen_service::attachments::DetachTerms;
use serde_json::{Map, Value};

use crate::config::{Config, Logs};
use crate::identity;
use crate::microversion::Microversion;

/// Who calls.
pub enum Caller {
    /// Somebody who needs no token for this.
    Anyone,
    /// The bearer of a token.
    Known(Box<(Actor, Token)>),
}

/// The parts that all handlers share.
pub(crate) struct House {
    pub(crate) ports: Ports,
    pub(crate) config: Config,
    /// Who stands behind tokens.
    pub(crate) bearers: Arc<dyn Bearers>,
    pub(crate) logs: Option<Arc<dyn Logs>>,
}

impl House {
    /// The filter of what is logged.
    pub(crate) fn logs(&self) -> Result<&dyn Logs, Condition> {
        let none = || Condition::Unsupported("what is logged cannot be changed here".into());
        self.logs.as_deref().ok_or_else(none)
    }
}

/// One call.
pub(crate) struct Cx {
    pub(crate) house: Arc<House>,
    /// The house's ports, for this request.
    pub(crate) ports: Ports,
    pub(crate) caller: Caller,
    pub(crate) request: HttpRequest,
    pub(crate) params: Params,
    pub(crate) version: Microversion,
    /// The root of addresses in the answer.
    pub(crate) base: String,
    /// The project that the request's address names.
    pub(crate) within: Option<String>,
    /// The action's argument, where the body named an action.
    pub(crate) argument: Value,
}

impl Cx {
    /// The caller, for what needs one.
    pub(crate) fn actor(&self) -> Result<&Actor, Condition> {
        self.known().map(|(actor, _)| actor)
    }

    /// The caller and its token.
    pub(crate) fn known(&self) -> Result<(&Actor, &Token), Condition> {
        match &self.caller {
            Caller::Known(known) => Ok((&known.0, &known.1)),
            Caller::Anyone => Err(Condition::Unauthenticated("a token is needed for this".into())),
        }
    }

    /// Whether the caller is an operator.
    pub(crate) fn is_admin(&self) -> bool {
        self.actor().is_ok_and(|actor| may(actor, Power::Operate, None).is_ok())
    }

    /// How documents look for this caller.
    pub(crate) fn look(&self) -> Look<'_> {
        Look {
            base: &self.base,
            within: self.within.as_deref(),
            version: self.version,
            admin: self.is_admin(),
        }
    }

    /// The terms under which attachments are taken away: other services may do what users may not.
    pub(crate) async fn detach_terms(&self) -> Result<DetachTerms, Condition> {
        let service = identity::is_service(&self.house, &self.request).await?;
        Ok(DetachTerms { respect_machines: !service })
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.ports
    }

    /// A segment of the path.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.get(name)
    }

    /// A truth value of the query; what cannot be understood counts as absent.
    pub(crate) fn asks(&self, name: &str) -> bool {
        self.request.query_value(name).and_then(|v| crate::fields::truth(&v)).unwrap_or(false)
    }

    /// The fields of an action's argument.
    pub(crate) fn argument(&self) -> crate::fields::Fields {
        crate::fields::Fields(self.argument.as_object().cloned().unwrap_or_else(Map::new))
    }
}

/// What decides how a document looks.
#[derive(Clone, Copy)]
pub(crate) struct Look<'a> {
    /// The root of addresses.
    pub(crate) base: &'a str,
    /// The project that the request's address names.
    pub(crate) within: Option<&'a str>,
    pub(crate) version: Microversion,
    /// Operators see more.
    pub(crate) admin: bool,
}

/// One document below its key.
pub(crate) fn one(status: StatusCode, key: &str, document: Value) -> Result<Reply, Condition> {
    let mut body = Map::new();
    body.insert(key.into(), document);
    Ok(Reply::json(status, &body))
}
