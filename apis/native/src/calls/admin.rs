//! Volume types, quotas, projects and users.

use std::collections::HashMap;

use http::StatusCode;
use parpen_http::path::Params;
use parpen_http::{HttpRequest, Reply};
use parpen_identity::{Actor, NewPerson, Place, Principal, Role, add, give_role, remove, take_role};
use parpen_model::{
    Among, Api, Attributes, Condition, ControlLocation, Counted, Kind, Limits, PoolId, ProjectId, Stamp,
    TypeEncryption, TypeRules, VolumeType, VolumeTypeId,
};
use parpen_service::quotas::{self, Limit};
use parpen_service::{Ports, pools, projects, types};
use uuid::Uuid;

use super::{BODY, gone, ok};
use crate::doc::{
    EncryptionDoc, ProjectDoc, ProjectWish, QuotaDoc, QuotaWish, RoleWish, TypeDoc, TypeWish, UserDoc,
    UserWish,
};
use crate::router::Endpoint;

pub(super) async fn call(
    ports: &Ports,
    e: Endpoint,
    actor: &Actor,
    params: Params,
    mut request: HttpRequest,
) -> Result<Reply, Condition> {
    match e {
        Endpoint::TypeList => {
            let names = pool_names(ports, actor).await?;
            let all = types::list(ports, actor).await?;
            ok(&all.iter().map(|t| type_doc(t, &names)).collect::<Vec<_>>())
        }
        Endpoint::TypeCreate => make_type(ports, actor, request.json(BODY).await?).await,
        Endpoint::TypeShow => {
            let t = types::get(ports, actor, params.get("type")).await?;
            ok(&type_doc(&t, &pool_names(ports, actor).await?))
        }
        Endpoint::TypeDelete => {
            let t = types::get(ports, actor, params.get("type")).await?;
            types::delete(ports, actor, t.id).await?;
            gone()
        }
        Endpoint::QuotaShow => quota(ports, actor, params.get("project")).await,
        Endpoint::QuotaSet => {
            let wish: QuotaWish = request.json(BODY).await?;
            let of = projects::find(ports, params.get("project")).await?.id;
            quotas::set_project(ports, actor, of, limits(&wish)?).await?;
            quota(ports, actor, params.get("project")).await
        }
        Endpoint::QuotaReset => {
            let of = projects::find(ports, params.get("project")).await?.id;
            quotas::reset(ports, actor, of).await?;
            gone()
        }
        Endpoint::ProjectList => {
            ok(&projects::list(ports, actor).await?.iter().map(project_doc).collect::<Vec<_>>())
        }
        Endpoint::ProjectCreate => {
            let ProjectWish { name, description } = request.json(BODY).await?;
            let new = projects::Edit { name: Some(name), description: Some(description), enabled: None };
            let (made, _) = projects::create(ports, actor, new).await?;
            Ok(Reply::json(StatusCode::CREATED, &project_doc(&made)))
        }
        Endpoint::ProjectDelete => {
            let p = projects::find(ports, params.get("project")).await?;
            projects::delete(ports, actor, p.id).await?;
            gone()
        }
        _ => user(ports, e, actor, params, request).await,
    }
}

async fn user(
    ports: &Ports,
    e: Endpoint,
    actor: &Actor,
    params: Params,
    mut request: HttpRequest,
) -> Result<Reply, Condition> {
    let all = projects::principals(ports, actor).await?;
    let names: HashMap<ProjectId, String> =
        projects::list(ports, actor).await?.into_iter().map(|p| (p.id, p.name)).collect();
    let found = |name: &str| {
        let id = Uuid::parse_str(name).ok();
        let hit = all.iter().find(|p| p.name == name || Some(p.id.0) == id);
        hit.ok_or_else(|| Condition::not_found(Kind::Principal, name))
    };
    match e {
        Endpoint::UserList => ok(&all.iter().map(|p| user_doc(p, &names)).collect::<Vec<_>>()),
        Endpoint::UserCreate => {
            let UserWish { name, password } = request.json(BODY).await?;
            let new = NewPerson { name, password: Some(password), enabled: true, about: Default::default() };
            // Users log in on the OpenStack side; the other sides know the first principal alone.
            let there = Actor { api: Api::OpenStack, ..actor.clone() };
            let made = add(&*ports.meta, &*ports.entropy, &*ports.clock, &there, new).await?;
            Ok(Reply::json(StatusCode::CREATED, &user_doc(&made, &names)))
        }
        Endpoint::UserDelete => {
            remove(&*ports.meta, actor, found(params.get("user"))?.id).await?;
            gone()
        }
        Endpoint::RoleGive | Endpoint::RoleTake => {
            let wish: RoleWish = request.json(BODY).await?;
            let role = Role::ALL.into_iter().find(|r| r.word() == wish.role);
            let role = role.ok_or_else(|| Condition::invalid("role", "a role is admin, member or reader"))?;
            let at = Place::Project(projects::find(ports, &wish.project).await?.id);
            let to = found(params.get("user"))?.id;
            match e {
                Endpoint::RoleGive => give_role(&*ports.meta, actor, to, at, role).await?,
                _ => take_role(&*ports.meta, actor, to, at, role).await?,
            }
            gone()
        }
        other => Err(Condition::internal(format!("{other:?} is answered elsewhere"))),
    }
}

async fn pool_names(ports: &Ports, actor: &Actor) -> Result<HashMap<PoolId, String>, Condition> {
    Ok(pools::list(ports, actor).await?.into_iter().map(|p| (p.id, p.name)).collect())
}

fn type_doc(t: &VolumeType, pools: &HashMap<PoolId, String>) -> TypeDoc {
    TypeDoc {
        id: t.id.0,
        name: t.name.clone(),
        description: t.description.clone(),
        public: t.public,
        pool: t.rules.pool.clone().or_else(|| pools.get(&t.pool?).cloned()),
        bytes_per_second: t.limits.bytes_per_second,
        requests_per_second: t.limits.requests_per_second,
        encryption: t.encryption.as_ref().map(|e| EncryptionDoc {
            control_location: e.control_location.word().into(),
            provider: e.provider.clone(),
            cipher: e.cipher.clone(),
            key_size: e.key_size,
        }),
    }
}

fn encryption(ports: &Ports, wish: EncryptionDoc) -> Result<TypeEncryption, Condition> {
    let EncryptionDoc { control_location, provider, cipher, key_size } = wish;
    let places = [ControlLocation::FrontEnd, ControlLocation::BackEnd];
    let place = places.into_iter().find(|p| p.word() == control_location);
    let wrong = || Condition::invalid("control_location", "it is `back-end` or `front-end`");
    let (id, stamp) = (ports.entropy.uuid(), Stamp::at(ports.clock.now()));
    Ok(TypeEncryption { id, provider, cipher, key_size, control_location: place.ok_or_else(wrong)?, stamp })
}

async fn make_type(ports: &Ports, actor: &Actor, wish: TypeWish) -> Result<Reply, Condition> {
    let pool = match &wish.pool {
        Some(name) => Some(pools::get(ports, actor, name).await?.id),
        None => None,
    };
    let encryption = wish.encryption.map(|e| encryption(ports, e)).transpose()?;
    let new = VolumeType {
        // The use case gives id and times.
        id: VolumeTypeId(Uuid::nil()),
        stamp: Stamp::at(ports.clock.now()),
        name: wish.name,
        description: wish.description,
        public: !wish.private,
        pool,
        place_all: None,
        place_tail: None,
        replication: None,
        limits: Limits {
            bytes_per_second: wish.bytes_per_second,
            requests_per_second: wish.requests_per_second,
        },
        size: None,
        parent: None,
        encryption,
        qos: None,
        access: Vec::new(),
        rules: TypeRules::default(),
        attributes: Attributes::default(),
    };
    let (made, _) = types::create(ports, actor, new).await?;
    Ok(Reply::json(StatusCode::CREATED, &type_doc(&made, &pool_names(ports, actor).await?)))
}

async fn quota(ports: &Ports, actor: &Actor, project: &str) -> Result<Reply, Condition> {
    let of = projects::find(ports, project).await?.id;
    let all = quotas::of_project(ports, actor, of).await?;
    let types: HashMap<VolumeTypeId, String> =
        types::list(ports, actor).await?.into_iter().map(|t| (t.id, t.name)).collect();
    let name = |counted: Counted, among: Among| match among {
        Among::All => Some(counted.word().to_string()),
        Among::OfType(Some(t)) => types.get(&t).map(|name| format!("{}_{name}", counted.word())),
        Among::OfType(None) => None,
    };
    let doc = |((counted, among), u): (&(Counted, Among), &quotas::Usage)| {
        let (in_use, reserved) = (u.figure.in_use, u.figure.reserved);
        Some(QuotaDoc { what: name(*counted, *among)?, limit: u.limit, in_use, reserved })
    };
    ok(&all.iter().filter_map(doc).collect::<Vec<_>>())
}

fn limits(wish: &QuotaWish) -> Result<Vec<Limit>, Condition> {
    let one = |(what, limit): (&String, &i64)| {
        let counted = Counted::ALL.into_iter().find(|c| c.word() == what);
        let known = Counted::ALL.map(Counted::word).join(", ");
        let counted = counted.ok_or_else(|| Condition::invalid(what, format!("it is one of {known}")))?;
        let limit = match limit {
            -1 => None,
            n => Some(u64::try_from(*n).map_err(|_| Condition::invalid(what, "-1 means any number"))?),
        };
        Ok(Limit { counted, among: Among::All, limit })
    };
    wish.limits.iter().map(one).collect()
}

fn project_doc(p: &parpen_model::Project) -> ProjectDoc {
    ProjectDoc { id: p.id.0, name: p.name.clone(), description: p.description.clone(), enabled: p.enabled }
}

fn user_doc(p: &Principal, projects: &HashMap<ProjectId, String>) -> UserDoc {
    let role = |(of, role): &(ProjectId, Role)| {
        format!("{}:{}", projects.get(of).map_or("?", String::as_str), role.word())
    };
    UserDoc {
        id: p.id.0,
        name: p.name.clone(),
        enabled: p.enabled,
        roles: p.roles.iter().map(role).collect(),
    }
}
