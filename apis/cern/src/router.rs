//! Every operation, its path, the role it needs, and which of them a request asks for.
//!
//! Volume names, policies and rules hold slashes, so a path is decoded as a whole and taken apart from its ends.

use http::header::ALLOW;
use http::{Method, StatusCode};
use parpen_http::{HttpRequest, Reply, path};

use crate::errors;
use crate::roles::Role;

/// A place that paths lead to; each answers some methods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    Volumes,
    Volume,
    Snapshots,
    Snapshot,
    Locks,
    Lock,
    Policies,
    Policy,
    Rule,
    Subsystems,
    Roles,
    Egroups,
    AmI,
    MyRoles,
    Login,
    LoginBasic,
    OauthDone,
    Logout,
    Description,
}

/// What is said of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) spot: Spot,
    /// None: anybody.
    pub(crate) role: Option<Role>,
    pub(crate) built: bool,
}

macro_rules! endpoints {
    ($($name:ident = $method:literal $spot:ident $path:literal $role:expr, $built:literal;)*) => {
        /// Every operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // the table below says it
        pub enum Endpoint { $($name),* }
        impl Endpoint {
            /// All of them.
            pub const ALL: &'static [Endpoint] = &[$(Endpoint::$name),*];
            /// Its method and path, as the API's own manual writes them.
            pub fn pattern(self) -> (&'static str, &'static str) {
                (self.line().method, self.line().path)
            }
            /// Whether it does something here; the others are refused as not implemented.
            pub fn is_built(self) -> bool {
                self.line().built
            }
            /// What is said of it.
            pub(crate) fn line(self) -> Line {
                match self {
                    $(Endpoint::$name => Line {
                        method: $method, path: $path, spot: Spot::$spot, role: $role, built: $built == "built",
                    }),*
                }
            }
        }
    };
}

const USER: Option<Role> = Some(Role::User);
const ADMIN: Option<Role> = Some(Role::Admin);
const UBER: Option<Role> = Some(Role::UberAdmin);

endpoints! {
    VolumeList = "GET" Volumes "/v3/{subsystem}/volumes" USER, "built";
    VolumeShow = "GET" Volume "/v3/{subsystem}/volumes/{volume}" USER, "built";
    VolumeMake = "POST" Volume "/v3/{subsystem}/volumes/{volume}" ADMIN, "built";
    VolumeChange = "PATCH" Volume "/v3/{subsystem}/volumes/{volume}" UBER, "built";
    VolumeDelete = "DELETE" Volume "/v3/{subsystem}/volumes/{volume}" UBER, "built";
    SnapshotList = "GET" Snapshots "/v3/{subsystem}/volumes/{volume}/snapshots" USER, "built";
    SnapshotShow = "GET" Snapshot "/v3/{subsystem}/volumes/{volume}/snapshots/{snapshot}" USER, "built";
    SnapshotMake = "POST" Snapshot "/v3/{subsystem}/volumes/{volume}/snapshots/{snapshot}" ADMIN, "built";
    SnapshotDelete = "DELETE" Snapshot "/v3/{subsystem}/volumes/{volume}/snapshots/{snapshot}" ADMIN, "built";
    LockList = "GET" Locks "/v3/{subsystem}/volumes/{volume}/locks" USER, "built";
    LockPut = "PUT" Lock "/v3/{subsystem}/volumes/{volume}/locks/{host}" ADMIN, "built";
    LockDelete = "DELETE" Lock "/v3/{subsystem}/volumes/{volume}/locks/{host}" UBER, "built";
    PolicyList = "GET" Policies "/v3/{subsystem}/export" ADMIN, "listed";
    PolicyShow = "GET" Policy "/v3/{subsystem}/export/{policy}" ADMIN, "listed";
    PolicyMake = "POST" Policy "/v3/{subsystem}/export/{policy}" ADMIN, "listed";
    PolicyDelete = "DELETE" Policy "/v3/{subsystem}/export/{policy}" ADMIN, "listed";
    RulePut = "PUT" Rule "/v3/{subsystem}/export/{policy}/rule/{rule}" ADMIN, "listed";
    RuleDelete = "DELETE" Rule "/v3/{subsystem}/export/{policy}/rule/{rule}" ADMIN, "listed";
    Subsystems = "GET" Subsystems "/conf/subsystems" None, "built";
    Roles = "GET" Roles "/conf/roles" None, "built";
    RoleEgroups = "GET" Egroups "/conf/roles/{role}/egroups" None, "built";
    RoleAmI = "GET" AmI "/conf/roles/{role}/am_i_a" None, "built";
    MyRoles = "GET" MyRoles "/conf/me/roles" None, "built";
    LoginBasic = "GET" LoginBasic "/login_basic" None, "built";
    Logout = "GET" Logout "/logout" None, "built";
    Login = "GET" Login "/login" None, "listed";
    OauthDone = "GET" OauthDone "/oauth-done" None, "listed";
    Description = "GET" Description "/swagger.json" None, "listed";
}

/// An operation and the names in its path, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    pub(crate) names: Names,
}

/// The names in a path; those that it does not have are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// The subsystem.
    pub(crate) subsystem: String,
    /// The volume, policy or role.
    pub(crate) name: String,
    /// The snapshot, host or rule within it.
    pub(crate) part: String,
}

/// Whether the first segment of a raw path is of this API.
pub(crate) fn claims(path: &str) -> bool {
    let first = path.strip_prefix('/').unwrap_or(path).split('/').next().unwrap_or_default();
    matches!(first, "v3" | "conf" | "login" | "login_basic" | "oauth-done" | "logout" | "swagger.json")
}

/// Which operation is asked for; the reply where none is.
pub(crate) fn route(request: &HttpRequest) -> Result<Route, Box<Reply>> {
    let path = path::decode(request.path());
    let Some((spot, names)) = place(&path) else { return Err(Box::new(errors::no_such_path())) };
    let of_spot = || Endpoint::ALL.iter().copied().filter(|e| e.line().spot == spot);
    // HEAD is a GET whose body the listener leaves out.
    let method = if request.method == Method::HEAD { Method::GET } else { request.method.clone() };
    match of_spot().find(|e| e.line().method == method.as_str()) {
        Some(endpoint) => Ok(Route { endpoint, names }),
        None => {
            let allowed = of_spot().map(|e| e.line().method).collect::<Vec<_>>().join(", ");
            let text = format!("this URL answers {allowed} only");
            let reply = errors::document(StatusCode::METHOD_NOT_ALLOWED, &text);
            Err(Box::new(reply.with(ALLOW, allowed)))
        }
    }
}

/// Where a decoded path leads.
fn place(path: &str) -> Option<(Spot, Names)> {
    let named = |name: &str| Names { name: name.to_string(), ..Names::default() };
    let here = |spot| Some((spot, Names::default()));
    match path {
        "/conf/subsystems" => return here(Spot::Subsystems),
        "/conf/roles" => return here(Spot::Roles),
        "/conf/me/roles" => return here(Spot::MyRoles),
        "/login" => return here(Spot::Login),
        "/login_basic" => return here(Spot::LoginBasic),
        "/oauth-done" => return here(Spot::OauthDone),
        "/logout" => return here(Spot::Logout),
        "/swagger.json" => return here(Spot::Description),
        _ => {}
    }
    if let Some((role, what)) = path.strip_prefix("/conf/roles/").and_then(|r| r.split_once('/')) {
        let spot = match what {
            "egroups" => Spot::Egroups,
            "am_i_a" => Spot::AmI,
            _ => return None,
        };
        return (!role.is_empty()).then(|| (spot, named(role)));
    }
    let (subsystem, rest) = path.strip_prefix("/v3/")?.split_once('/')?;
    if subsystem.is_empty() || path.contains('\n') {
        return None;
    }
    let (spot, names) = match rest {
        "volumes" => here(Spot::Volumes),
        "export" => here(Spot::Policies),
        _ => match (rest.strip_prefix("volumes/"), rest.strip_prefix("export/")) {
            (Some(name), _) => below_volumes(name),
            (_, Some(name)) => below_policies(name),
            (None, None) => None,
        },
    }?;
    Some((spot, Names { subsystem: subsystem.to_string(), ..names }))
}

/// Whether this can stand as the name that a path ends or begins with.
fn is_name(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('/')
}

/// The suffixes first: what else stands before and after slashes belongs to the volume's name.
fn below_volumes(rest: &str) -> Option<(Spot, Names)> {
    let names = |name: &str, part: &str| Names { subsystem: "".into(), name: name.into(), part: part.into() };
    if let Some((before, part)) = rest.rsplit_once('/').filter(|(_, part)| !part.is_empty()) {
        for (word, spot) in [("/snapshots", Spot::Snapshot), ("/locks", Spot::Lock)] {
            if let Some(volume) = before.strip_suffix(word).filter(|v| is_name(v)) {
                return Some((spot, names(volume, part)));
            }
        }
    }
    for (word, spot) in [("/snapshots", Spot::Snapshots), ("/locks", Spot::Locks)] {
        if let Some(volume) = rest.strip_suffix(word).filter(|v| is_name(v)) {
            return Some((spot, names(volume, "")));
        }
    }
    is_name(rest).then(|| (Spot::Volume, names(rest, "")))
}

/// The first `/rule/` ends the policy's name; the rule has slashes of its own.
fn below_policies(rest: &str) -> Option<(Spot, Names)> {
    let names = |name: &str, part: &str| Names { subsystem: "".into(), name: name.into(), part: part.into() };
    match rest.split_once("/rule/").filter(|(policy, rule)| is_name(policy) && is_name(rule)) {
        Some((policy, rule)) => Some((Spot::Rule, names(policy, rule))),
        None => is_name(rest).then(|| (Spot::Policy, names(rest, ""))),
    }
}

#[cfg(test)]
#[path = "router_tests.rs"]
mod tests;
