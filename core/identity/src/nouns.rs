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

    /// These roles and the lesser ones that they imply.
    pub fn with_implied(roles: impl IntoIterator<Item = Role>) -> Vec<Role> {
        let highest = roles.into_iter().max();
        Role::ALL.into_iter().filter(|r| highest.is_some_and(|h| *r <= h)).collect()
    }

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
    /// Its roles over the whole service, without a project.
    #[serde(default)]
    pub wide: Vec<Role>,
    /// It may log in.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What else is kept of it.
    #[serde(default)]
    pub about: About,
    /// Order, revision, times.
    pub stamp: Stamp,
}

fn yes() -> bool {
    true
}

/// What is kept of a principal and has no meaning here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// In words.
    pub description: Option<String>,
    /// Where to write to.
    pub email: Option<String>,
    /// The project that it works in mostly.
    pub default_project: Option<ProjectId>,
}

impl Principal {
    /// Its roles in one project, with those that they imply.
    pub fn roles_in(&self, project: ProjectId) -> Vec<Role> {
        Role::with_implied(self.roles.iter().filter(|(p, _)| *p == project).map(|(_, r)| *r))
    }

    /// Its roles over the whole service. Who operates it in one project operates all of it.
    pub fn wide_roles(&self) -> Vec<Role> {
        let operates = self.roles.iter().map(|(_, r)| *r).filter(|r| *r == Role::Admin);
        Role::with_implied(self.wide.iter().copied().chain(operates))
    }
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
    /// The project it is bound to, where its side knows of none.
    pub project: Option<ProjectId>,
    /// It stands for a program that acts for the principal.
    #[serde(default)]
    pub application: Option<Application>,
    /// The hash of the secret: a PHC text for passwords, hex SHA-256 for tokens (which are random and long).
    pub hash: String,
    /// Order, revision, times.
    pub stamp: Stamp,
}

/// What a program may do that acts for a principal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Unique among those of the principal.
    pub name: String,
    /// In words.
    pub description: Option<String>,
    /// The only project that it works in.
    pub project: ProjectId,
    /// The roles that it has there, as long as the principal has them.
    pub roles: Vec<Role>,
    /// Until when.
    pub expires: Option<Timestamp>,
    /// It may make and remove such credentials itself.
    pub unrestricted: bool,
}

/// What a token is for when it is for no project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wide {
    /// The service itself.
    System,
    /// All projects and principals.
    Domain,
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
    /// The credential that was proved for it; the token ends with that.
    pub credential: CredentialId,
    /// Where it was given.
    pub api: Api,
    /// The project it is for; none: not scoped to one.
    pub project: Option<ProjectId>,
    /// What it is for instead of a project.
    #[serde(default)]
    pub wide: Option<Wide>,
    /// By what the login was proved.
    #[serde(default)]
    pub methods: Vec<String>,
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
