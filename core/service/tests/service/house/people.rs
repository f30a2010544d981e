//! Somebody else: a principal with a role in a project of his own, and a secret for one side.

use parpen_identity::{Actor, Principal, Role, Secrets, rotate};
use parpen_model::{Api, PrincipalId, Project, ProjectId, Scope, Stamp, write};
use parpen_service::Ports;

/// What he can be told by.
pub struct Person {
    pub actor: Actor,
    pub secret: String,
}

/// Makes one, with a project of the same name.
pub async fn person(ports: &Ports, name: &str, role: Role, api: Api) -> Person {
    let (id, project) = (PrincipalId(ports.entropy.uuid()), ProjectId(ports.entropy.uuid()));
    let (text, stamp) = (name.to_string(), Stamp::at(ports.clock.now()));
    write(&*ports.meta, move |tx| {
        let (name, description) = (text.clone(), String::new());
        tx.insert(&mut Project { id: project, name, description, enabled: true, default_type: None, stamp })?;
        let (name, roles) = (text.clone(), vec![(project, role)]);
        let about = Default::default();
        tx.insert(&mut Principal { id, name, roles, wide: Vec::new(), enabled: true, about, stamp })
    })
    .await
    .unwrap();
    let blank = Secrets {
        principal: name.into(),
        principal_id: id,
        project: name.into(),
        project_id: project,
        secrets: Default::default(),
    };
    let mut secret = String::new();
    let keep = |s: &Secrets| {
        secret = s.secrets[&api].clone();
        Ok(())
    };
    rotate(&*ports.meta, &*ports.entropy, &*ports.clock, blank, &[api], keep).await.unwrap();
    let credential = parpen_model::read(&*ports.meta, move |tx| {
        tx.children::<parpen_identity::Credential>(id).map(|all| all[0].id)
    });
    let actor = Actor {
        principal: id,
        name: name.into(),
        api,
        project,
        scope: Scope::Project(project),
        roles: Role::with_implied([role]),
        credential: credential.await.unwrap(),
        until: None,
    };
    Person { actor, secret }
}
