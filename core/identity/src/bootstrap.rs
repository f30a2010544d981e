//! The first start: one project, one principal, one random secret for each side. No default password exists.

use std::collections::BTreeMap;

use parpen_base::{Clock, Entropy};
use parpen_model::ports::MetaStore;
use parpen_model::{
    Api, Condition, CredentialId, PrincipalId, Project, ProjectId, Scope, Stamp, read, write,
};
use serde::{Deserialize, Serialize};

use crate::secret::{password_hash, token_hash};
use crate::token::end_of;
use crate::{Credential, FIRST_PRINCIPAL, FIRST_PROJECT, Principal, Role, random_secret};

/// The secrets of the first principal, as they are kept in a file of mode 0600 beside the database.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// The principal's name.
    pub principal: String,
    /// The principal's id.
    pub principal_id: PrincipalId,
    /// The project's name.
    pub project: String,
    /// The project's id.
    pub project_id: ProjectId,
    /// One secret a side. The LXD side has none: its socket is its proof.
    pub secrets: BTreeMap<Api, String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets of {:?} for {:?}", self.principal, self.secrets.keys())
    }
}

fn hash_for(api: Api, secret: &str) -> Result<String, Condition> {
    match api {
        Api::OpenStack | Api::Cern => password_hash(secret),
        Api::StorPool | Api::Rapyuta | Api::Native | Api::Lxd => Ok(token_hash(secret)),
    }
}

fn credentials(
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    s: &Secrets,
    apis: &[Api],
) -> Result<Vec<Credential>, Condition> {
    let one = |api: &Api| {
        // A side without a secret still has a row: it says to which project the connection is bound.
        let secret = s.secrets.get(api).cloned().unwrap_or_else(|| random_secret(entropy));
        Ok(Credential {
            id: CredentialId(entropy.uuid()),
            principal: s.principal_id,
            api: *api,
            project: Some(s.project_id),
            application: None,
            hash: hash_for(*api, &secret)?,
            stamp: Stamp::at(clock.now()),
        })
    };
    apis.iter().map(one).collect()
}

/// Makes the first project and principal unless there is one. `keep` stores the secrets durably before any hash of
/// them is committed, so that no start ever leaves a service that nobody can enter. Secrets that were `kept` before
/// (by a start that was cut short, or beside a database that was lost) stay the same.
pub async fn bootstrap(
    meta: &dyn MetaStore,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    kept: Option<Secrets>,
    keep: impl FnOnce(&Secrets) -> Result<(), Condition>,
) -> Result<(), Condition> {
    let there = read(meta, |tx| tx.find_named::<Principal>(Scope::All, "principal", FIRST_PRINCIPAL)).await?;
    if there.is_some() {
        return Ok(());
    }
    let with_secret = Api::ALL.into_iter().filter(|a| *a != Api::Lxd);
    let fresh = || Secrets {
        principal: FIRST_PRINCIPAL.into(),
        principal_id: PrincipalId(entropy.uuid()),
        project: FIRST_PROJECT.into(),
        project_id: ProjectId(entropy.uuid()),
        secrets: with_secret.clone().map(|a| (a, random_secret(entropy))).collect(),
    };
    let s = match kept {
        Some(s) => s,
        None => {
            let s = fresh();
            keep(&s)?;
            s
        }
    };
    let rows = credentials(entropy, clock, &s, &Api::ALL)?;
    let stamp = Stamp::at(clock.now());
    write(meta, move |tx| {
        let description = "made at the first start".to_string();
        tx.insert(&mut Project {
            id: s.project_id,
            name: s.project.clone(),
            description,
            enabled: true,
            default_type: None,
            stamp,
        })?;
        let roles = Role::ALL.into_iter().map(|r| (s.project_id, r)).collect();
        let (id, name, wide) = (s.principal_id, s.principal.clone(), Role::ALL.to_vec());
        tx.insert(&mut Principal { id, name, roles, wide, enabled: true, about: Default::default(), stamp })?;
        rows.iter().cloned().try_for_each(|mut c| tx.insert(&mut c))
    })
    .await?;
    Ok(())
}

/// Gives the first principal new secrets for `apis` and ends what was given for the old ones. `keep` stores them
/// durably first; until the commit the old ones still hold.
pub async fn rotate(
    meta: &dyn MetaStore,
    entropy: &dyn Entropy,
    clock: &dyn Clock,
    mut s: Secrets,
    apis: &[Api],
    keep: impl FnOnce(&Secrets) -> Result<(), Condition>,
) -> Result<(), Condition> {
    for api in apis.iter().filter(|a| **a != Api::Lxd) {
        s.secrets.insert(*api, random_secret(entropy));
    }
    let rows = credentials(entropy, clock, &s, apis)?;
    keep(&s)?;
    write(meta, move |tx| {
        for old in tx.read().children::<Credential>(s.principal_id)? {
            if old.application.is_none() && rows.iter().any(|new| new.api == old.api) {
                tx.delete::<Credential>(old.id)?;
            }
        }
        end_of(tx, s.principal_id, |t| rows.iter().any(|new| new.api == t.api))?;
        rows.iter().cloned().try_for_each(|mut c| tx.insert(&mut c))
    })
    .await?;
    Ok(())
}
