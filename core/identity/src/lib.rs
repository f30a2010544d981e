//! Who somebody is and what he may do: principals, credentials, tokens, roles and [`may`].
//!
//! Each API checks its own kind of credential here, against one model. Only hashes are kept.
#![forbid(unsafe_code)]

mod actor;
mod applications;
mod bearers;
mod bootstrap;
mod login;
mod nouns;
mod people;
mod secret;
mod token;
mod vouched;

pub use actor::{Actor, Power, may};
pub use applications::{NewApplication, application, applications, forget_application, new_application};
pub use bearers::{Bearers, OwnTokens};
pub use bootstrap::{Secrets, bootstrap, rotate};
pub use login::{Login, Proven, login, prove};
pub use nouns::{About, Application, Credential, Principal, Role, Token, Wide};
pub use people::{
    Edit, NewPerson, Place, add, change, give_role, leave_project, remove, set_password, take_role,
};
pub use secret::{random_secret, secret_fits, secret_hash, short_secret};
pub use token::{For, Grant, end_in, give, grant, redeem, revoke};
pub use vouched::{Vouched, VouchedFor, VouchedTokens, Voucher};

/// The name of the project that the first start binds every side to.
pub const FIRST_PROJECT: &str = "admin";
/// The name of the principal that the first start makes.
pub const FIRST_PRINCIPAL: &str = "admin";
