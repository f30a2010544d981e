//! Who somebody is and what he may do: principals, credentials, tokens, roles and [`may`].
//!
//! Each API checks its own kind of credential here, against one model. Only hashes are kept.
#![forbid(unsafe_code)]

mod actor;
mod bootstrap;
mod login;
mod nouns;
mod secret;

pub use actor::{Actor, Power, may};
pub use bootstrap::{Secrets, bootstrap, rotate};
pub use login::{Grant, Login, grant, login, redeem, revoke};
pub use nouns::{Credential, Principal, Role, Token};
pub use secret::{random_secret, secret_fits, secret_hash, short_secret};

/// The name of the project that the first start binds every side to.
pub const FIRST_PROJECT: &str = "admin";
/// The name of the principal that the first start makes.
pub const FIRST_PRINCIPAL: &str = "admin";
