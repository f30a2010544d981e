//! One arm per operation: parse, see who may, call the use case, print.

mod of_parts;
mod of_volumes;

use std::collections::HashMap;

use http::StatusCode;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::Actor;
use parpen_model::lifecycle::Life;
use parpen_model::{Api as Side, Condition, Kind, Pool};
use parpen_service::names::Space;
use parpen_service::{Ports, pools, snapshots, volumes};
use serde::Serialize;
use uuid::Uuid;

use crate::from_wire::{self, Make, Stop};
use crate::roles::Role;
use crate::router::{self, Endpoint, Names, Route};
use crate::to_wire::{self, Mask, VolumeRead};
use crate::{Caller, errors, session};

/// Longest body, in bytes.
const BODY: usize = 1024 * 1024;

type Answer = Result<Reply, Stop>;

fn ok(document: &impl Serialize) -> Answer {
    Ok(Reply::json(StatusCode::OK, document))
}

/// What was made where nothing is shown of it.
fn made() -> Answer {
    Ok(Reply::json(StatusCode::CREATED, &""))
}

fn gone() -> Answer {
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn call(ports: &Ports, caller: Caller, request: HttpRequest) -> Result<Reply, Condition> {
    let route = match router::route(&request) {
        Ok(route) => route,
        Err(reply) => return Ok(*reply),
    };
    match answer(ports, &caller, route, request).await {
        Ok(reply) => Ok(reply),
        Err(Stop::Reply(reply)) => Ok(*reply),
        Err(Stop::Condition(condition)) => Err(condition),
    }
}

async fn answer(ports: &Ports, caller: &Caller, route: Route, mut request: HttpRequest) -> Answer {
    let Route { endpoint, names } = route;
    // A body that its schema refuses is told so before it is seen who sent it.
    let body = Body::read(endpoint, &names, &mut request).await?;
    if let Some(role) = endpoint.line().role.filter(|role| !caller.is_a(*role)) {
        let text = format!("The current user is not in role {}", role.word());
        return Err(Condition::Forbidden(text).into());
    }
    let at = At { ports, caller, names: &names, request: &request };
    match endpoint {
        Endpoint::VolumeList => at.volume_list().await,
        Endpoint::VolumeShow => at.volume_show(StatusCode::OK).await,
        Endpoint::VolumeMake => at.volume_make(body).await,
        Endpoint::VolumeChange => at.volume_change(body).await,
        Endpoint::VolumeDelete => at.volume_delete().await,
        Endpoint::SnapshotList | Endpoint::SnapshotShow => at.snapshots(endpoint).await,
        Endpoint::SnapshotMake => at.snapshot_make().await,
        Endpoint::SnapshotDelete => at.snapshot_delete().await,
        Endpoint::LockList => at.lock_list().await,
        Endpoint::LockPut => at.lock_put().await,
        Endpoint::LockDelete => at.lock_delete().await,
        Endpoint::PolicyList
        | Endpoint::PolicyShow
        | Endpoint::PolicyMake
        | Endpoint::PolicyDelete
        | Endpoint::RulePut
        | Endpoint::RuleDelete => Err(errors::not_implemented("export policies are").into()),
        Endpoint::Subsystems | Endpoint::Roles | Endpoint::RoleEgroups | Endpoint::RoleAmI => {
            at.conf(endpoint).await
        }
        Endpoint::MyRoles => ok(&at.my_roles()),
        Endpoint::LoginBasic => Ok(session::open(ports, &request).await?),
        Endpoint::Logout => Ok(session::close(ports, &request).await?),
        Endpoint::Login | Endpoint::OauthDone => {
            Err(errors::not_implemented("OAuth is (log in at /login_basic)").into())
        }
        Endpoint::Description => Err(errors::not_implemented("the description of the API is").into()),
    }
}

/// A request's body as its operation understands it.
enum Body {
    None,
    Make(Make),
    Change(from_wire::Change),
}

impl Body {
    /// Also refuses names that no volume can have.
    async fn read(endpoint: Endpoint, names: &Names, request: &mut HttpRequest) -> Result<Body, Stop> {
        use Endpoint::*;
        match endpoint {
            VolumeShow | VolumeDelete | SnapshotList | SnapshotShow | SnapshotDelete | LockList | LockPut
            | LockDelete => {
                from_wire::check_name("volume", &names.name)?;
                Ok(Body::None)
            }
            VolumeMake => {
                from_wire::check_name("volume", &names.name)?;
                Ok(Body::Make(from_wire::make(&request.bytes(BODY).await?)?))
            }
            VolumeChange => {
                from_wire::check_name("volume", &names.name)?;
                Ok(Body::Change(from_wire::change(&request.bytes(BODY).await?)?))
            }
            SnapshotMake => {
                from_wire::check_name("volume", &names.name)?;
                from_wire::check_name("snapshot", &names.part)?;
                from_wire::purge(&request.bytes(BODY).await?)?;
                Ok(Body::None)
            }
            VolumeList | PolicyList | PolicyShow | PolicyMake | PolicyDelete | RulePut | RuleDelete
            | Subsystems | Roles | RoleEgroups | RoleAmI | MyRoles | LoginBasic | Logout | Login
            | OauthDone | Description => Ok(Body::None),
        }
    }
}

/// One request that may be answered.
struct At<'a> {
    ports: &'a Ports,
    caller: &'a Caller,
    names: &'a Names,
    request: &'a HttpRequest,
}

impl At<'_> {
    fn actor(&self) -> &Actor {
        &self.caller.actor
    }

    /// The pool that is the subsystem of the path.
    async fn pool(&self) -> Result<Pool, Condition> {
        let name = &self.names.subsystem;
        let pool = pools::get(self.ports, self.actor(), name).await?;
        // The house finds pools by id too; here they have names only.
        if pool.name == *name { Ok(pool) } else { Err(Condition::not_found(Kind::Pool, name)) }
    }

    async fn volume_in(&self, pool: &Pool, name: &str) -> Result<volumes::View, Condition> {
        let key = volumes::Key::Named(Space::within(Side::Cern, pool.id), name.to_string());
        let view = volumes::get(self.ports, self.actor(), &key).await?;
        // What is being deleted is as if it never existed.
        match view.volume.life {
            Life::Deleting => Err(Condition::not_found(Kind::Volume, name)),
            Life::Creating | Life::Ready | Life::Error => Ok(view),
        }
    }

    /// The volume of the path.
    async fn volume(&self) -> Result<volumes::View, Condition> {
        self.volume_in(&self.pool().await?, &self.names.name).await
    }

    async fn snapshot_of(&self, of: &volumes::View, name: &str) -> Result<snapshots::View, Condition> {
        let key = snapshots::Key::Of(of.volume.id, Side::Cern, name.to_string());
        snapshots::get(self.ports, self.actor(), &key).await
    }

    /// Bytes by volume and snapshot; a pool that does not answer gives none, and its volumes are shown all the same.
    async fn stored(&self, pool: &Pool) -> HashMap<Uuid, u64> {
        match volumes::stored(self.ports, pool).await {
            Ok(stored) => stored,
            Err(e) => {
                tracing::warn!(pool = pool.name, error = ?e, "what volumes hold cannot be had");
                HashMap::new()
            }
        }
    }

    /// The address under which the client has reached this server.
    fn filer(&self) -> &str {
        let host = self.request.header("host").filter(|h| !h.is_empty()).unwrap_or("localhost");
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        }
    }

    fn print(&self, view: &volumes::View, stored: &HashMap<Uuid, u64>) -> Result<VolumeRead, Condition> {
        to_wire::volume(view, stored.get(&view.volume.id.0).copied(), self.filer())
    }

    fn mask(&self) -> Result<Option<Mask>, Condition> {
        self.request.header("x-fields").map(Mask::parse).transpose()
    }

    /// `/conf` answers everybody.
    async fn conf(&self, endpoint: Endpoint) -> Answer {
        match endpoint {
            Endpoint::Subsystems => {
                let all = pools::list(self.ports, self.actor()).await?;
                return ok(&all.iter().map(|p| &p.name).collect::<Vec<_>>());
            }
            Endpoint::Roles => return ok(&Role::ALL.map(Role::word)),
            _ => {}
        }
        let Some(role) = Role::from_word(&self.names.name) else {
            return Err(Condition::not_found(Kind::Other, format!("role {}", self.names.name)).into());
        };
        match endpoint {
            // Roles come from the house's own principals; no group outside gives one.
            Endpoint::RoleEgroups => ok(&[(); 0]),
            _ => ok(&self.caller.is_a(role)),
        }
    }

    fn my_roles(&self) -> Vec<&'static str> {
        Role::ALL.into_iter().filter(|r| self.caller.is_a(*r)).map(Role::word).collect()
    }
}
