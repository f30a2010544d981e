//! Rows of this crate.

use jiff::Timestamp;
use parpen_model::{Api, CredentialId, Kind, Noun, PrincipalId, ProjectId, Stamp, TokenId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What somebody is in a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Reader,
    /// Makes, changes and removes what the project owns.
    Member,
    /// Operates the service, in all projects.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 3] = [Role::Reader, Role::Member, Role::Admin];

    /// Its word. Stable.
    pub fn word(self) -> &'static str {
        match self {
            Role::Reader => "reader",
            Role::Member => "member",
            Role::Admin => "admin",
        }
    }
}

/// One who can log in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Principal {
    /// Its id.
    pub id: PrincipalId,
    /// Unique.
    pub name: String,
    /// Its roles, by project.
    pub roles: Vec<(ProjectId, Role)>,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// One way in which a principal proves itself to one API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Credential {
    /// Its id.
    pub id: CredentialId,
    /// Whose.
    pub principal: PrincipalId,
    /// To which API.
    pub api: Api,
    /// The project it is bound to.
    pub project: ProjectId,
    /// The hash of the secret: a PHC text for passwords, hex SHA-256 for tokens (which are random and long).
    pub hash: String,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// Proof of a login, for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// Hex SHA-256 of its text.
    pub hash: String,
    /// Whose.
    pub principal: PrincipalId,
    /// Where it was given.
    pub api: Api,
    /// The project it is for; none: not scoped to one.
    pub project: Option<ProjectId>,
    /// Until when.
    pub expires: Timestamp,
    /// Order, revision, times.
    pub stamp: Stamp,
}

impl Noun for Principal {
    const KIND: Kind = Kind::Principal;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.name.clone()
    }
    fn names(&self) -> Vec<(String, String)> {
        vec![("principal".into(), self.name.clone())]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

impl Credential {
    /// The space in which the hashes of an API's tokens are unique.
    pub fn space(api: Api) -> String {
        format!("credential:{}", api.word())
    }
}

impl Noun for Credential {
    const KIND: Kind = Kind::Credential;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        format!("{} of {}", self.api.word(), self.principal)
    }
    fn parent(&self) -> Option<Uuid> {
        Some(self.principal.0)
    }
    fn names(&self) -> Vec<(String, String)> {
        vec![(Credential::space(self.api), self.hash.clone())]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}

impl Noun for Token {
    const KIND: Kind = Kind::Token;
    fn id(&self) -> Uuid {
        self.id.0
    }
    fn title(&self) -> String {
        self.id.to_string()
    }
    fn parent(&self) -> Option<Uuid> {
        Some(self.principal.0)
    }
    fn names(&self) -> Vec<(String, String)> {
        vec![("token".into(), self.hash.clone())]
    }
    fn stamp(&self) -> &Stamp {
        &self.stamp
    }
    fn stamp_mut(&mut self) -> &mut Stamp {
        &mut self.stamp
    }
}
