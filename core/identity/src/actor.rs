//! The one question of authorisation.

use parpen_model::{Api, Condition, PrincipalId, ProjectId, Scope};

use crate::Role;

/// Who calls, after his credential was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Which principal.
    pub principal: PrincipalId,
    /// Its name.
    pub name: String,
    /// By which side it came.
    pub api: Api,
    /// The project it creates into.
    pub project: ProjectId,
    /// What it sees: operators see every project.
    pub scope: Scope,
    /// Its roles there.
    pub roles: Vec<Role>,
}

/// What an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// Look at what is in scope.
    Read,
    /// Make, change and remove what is in scope.
    Write,
    /// Change pools, hosts, types and other people's things.
    Operate,
}

/// May `actor` do what needs `power` to something of `project` (none: something that belongs to nobody)?
/// What is out of scope is for the caller to report as not found; here it is forbidden.
pub fn may(actor: &Actor, power: Power, project: Option<ProjectId>) -> Result<(), Condition> {
    let needed = match power {
        Power::Read => Role::Reader,
        Power::Write => Role::Member,
        Power::Operate => Role::Admin,
    };
    if !actor.scope.sees(project) {
        return Err(Condition::Forbidden("it belongs to another project".into()));
    }
    if actor.roles.iter().any(|r| *r >= needed) {
        return Ok(());
    }
    Err(Condition::Forbidden(format!("{:?} lacks the role {} for this", actor.name, needed.word())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn roles_and_scopes_decide() {
        let (mine, theirs) = (ProjectId(Uuid::from_u128(1)), ProjectId(Uuid::from_u128(2)));
        let actor = |role, scope| Actor {
            principal: PrincipalId(Uuid::nil()),
            name: "x".into(),
            api: Api::Native,
            project: mine,
            scope,
            roles: vec![role],
        };
        let table = [
            (Role::Reader, Power::Read, true),
            (Role::Reader, Power::Write, false),
            (Role::Member, Power::Write, true),
            (Role::Member, Power::Operate, false),
            (Role::Admin, Power::Operate, true),
        ];
        for (role, power, ok) in table {
            let a = actor(role, Scope::Project(mine));
            assert_eq!(may(&a, power, Some(mine)).is_ok(), ok, "{role:?} {power:?}");
            assert!(may(&a, power, Some(theirs)).is_err());
            assert_eq!(may(&actor(role, Scope::All), power, Some(theirs)).is_ok(), ok);
        }
    }
}
