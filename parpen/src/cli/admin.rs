//! `parpen type|quota|project|user ...`: what administrators lay down.

use std::collections::BTreeMap;
use std::io::Read;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use parpen_native::doc::{
    EncryptionDoc, ProjectDoc, ProjectWish, QuotaDoc, QuotaWish, RoleWish, TypeDoc, TypeWish, UserDoc,
    UserWish,
};

use super::Common;
use super::client::{Client, segment};
use super::print::{self, Tabular};

#[derive(Debug, Subcommand)]
pub(super) enum Type {
    /// Make a volume type
    Create {
        /// Its name
        name: String,
        /// The pool of its volumes
        #[arg(long)]
        pool: Option<String>,
        /// In words
        #[arg(long)]
        description: Option<String>,
        /// Only projects that are let in may use it
        #[arg(long)]
        private: bool,
        /// Ceiling of each volume
        #[arg(long, value_parser = super::size::size)]
        bytes_per_second: Option<u64>,
        /// Ceiling of each volume
        #[arg(long)]
        requests_per_second: Option<u64>,
        #[command(flatten)]
        encryption: Encryption,
        #[command(flatten)]
        common: Common,
    },
    /// List the volume types
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Show a volume type
    Show {
        /// Its name or id
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Delete a volume type that no volume is linked to
    Delete {
        /// Its name or id
        name: String,
        #[command(flatten)]
        common: Common,
    },
}

/// Who encrypts.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Location {
    /// This service, before bytes reach a disk: AES-256-XTS with a key for each volume
    BackEnd,
    /// The hosts that attach its volumes: this service tells them how, and stores what they write
    FrontEnd,
}

#[derive(Args, Debug)]
pub(super) struct Encryption {
    /// Its volumes are encrypted, and who does it
    #[arg(long, value_enum, value_name = "WHO")]
    encryption: Option<Location>,
    /// What can do it on the hosts; only noted for back-end
    #[arg(long, requires = "encryption", default_value = "luks")]
    provider: String,
    /// The cipher that hosts are told; only noted for back-end
    #[arg(long, requires = "encryption", default_value = "aes-xts-plain64")]
    cipher: String,
    /// The bits of a key that hosts are told; only noted for back-end
    #[arg(long, requires = "encryption", default_value = "512", value_parser = clap::value_parser!(u32).range(1..))]
    key_size: u32,
}

impl Encryption {
    fn wish(self) -> Option<EncryptionDoc> {
        let control_location = match self.encryption? {
            Location::BackEnd => "back-end",
            Location::FrontEnd => "front-end",
        };
        Some(EncryptionDoc {
            control_location: control_location.into(),
            provider: self.provider,
            cipher: Some(self.cipher),
            key_size: Some(self.key_size),
        })
    }
}

impl Type {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Type::Create {
                name,
                pool,
                description,
                private,
                bytes_per_second,
                requests_per_second,
                encryption,
                common,
            } => {
                let encryption = encryption.wish();
                let wish = TypeWish {
                    name,
                    description,
                    private,
                    pool,
                    bytes_per_second,
                    requests_per_second,
                    encryption,
                };
                let made: TypeDoc = Client::of(&common)?.post("/types", &wish)?;
                print::one(&common, &made)
            }
            Type::List { common } => {
                let all: Vec<TypeDoc> = Client::of(&common)?.get("/types")?;
                print::list(&common, &all)
            }
            Type::Show { name, common } => {
                let found: TypeDoc = Client::of(&common)?.get(&format!("/types/{}", segment(&name)))?;
                print::one(&common, &found)
            }
            Type::Delete { name, common } => {
                Client::of(&common)?.delete(&format!("/types/{}", segment(&name)))
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Quota {
    /// Show a project's ceilings and what is below them
    Show {
        /// The project's name or id
        project: String,
        #[command(flatten)]
        common: Common,
    },
    /// Set ceilings: `volumes=10 gigabytes=500`, and -1 for any number
    Set {
        /// The project's name or id
        project: String,
        /// What is counted, and at most how many
        #[arg(required = true, value_name = "WHAT=LIMIT")]
        limits: Vec<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Let the default ceilings hold again
    Reset {
        /// The project's name or id
        project: String,
        #[command(flatten)]
        common: Common,
    },
}

fn limits(words: &[String]) -> anyhow::Result<BTreeMap<String, i64>> {
    let one = |word: &String| {
        let (what, limit) = word.split_once('=').with_context(|| format!("{word:?} is not WHAT=LIMIT"))?;
        let limit = limit.parse().with_context(|| format!("{limit:?} is no whole number"))?;
        Ok((what.to_string(), limit))
    };
    words.iter().map(one).collect()
}

impl Quota {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let at = |project: &str| format!("/quotas/{}", segment(project));
        match self {
            Quota::Show { project, common } => {
                let all: Vec<QuotaDoc> = Client::of(&common)?.get(&at(&project))?;
                print::list(&common, &all)
            }
            Quota::Set { project, limits: words, common } => {
                let wish = QuotaWish { limits: limits(&words)? };
                let all: Vec<QuotaDoc> = Client::of(&common)?.patch(&at(&project), &wish)?;
                print::list(&common, &all)
            }
            Quota::Reset { project, common } => Client::of(&common)?.delete(&at(&project)),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Project {
    /// Make a project
    Create {
        /// Its name
        name: String,
        /// In words
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        common: Common,
    },
    /// List the projects
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Delete a project that has no volumes, snapshots, backups and groups left
    Delete {
        /// Its name or id
        name: String,
        #[command(flatten)]
        common: Common,
    },
}

impl Project {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Project::Create { name, description, common } => {
                let wish = ProjectWish { name, description };
                let made: ProjectDoc = Client::of(&common)?.post("/projects", &wish)?;
                print::one(&common, &made)
            }
            Project::List { common } => {
                let all: Vec<ProjectDoc> = Client::of(&common)?.get("/projects")?;
                print::list(&common, &all)
            }
            Project::Delete { name, common } => {
                Client::of(&common)?.delete(&format!("/projects/{}", segment(&name)))
            }
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Make a user of the OpenStack side; its password is the first line of standard input
    Create {
        /// Its name
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// List the users and their roles
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Delete a user; what it made stays its projects'
    Delete {
        /// Its name or id
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Give a user a role in a project
    Grant {
        /// Its name or id
        name: String,
        /// The project's name or id
        #[arg(long)]
        project: String,
        /// admin, member or reader
        #[arg(long)]
        role: String,
        #[command(flatten)]
        common: Common,
    },
    /// Take a role away
    Revoke {
        /// Its name or id
        name: String,
        /// The project's name or id
        #[arg(long)]
        project: String,
        /// admin, member or reader
        #[arg(long)]
        role: String,
        #[command(flatten)]
        common: Common,
    },
}

/// A command line is seen by everybody on the machine, standard input is not.
fn password() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin().take(8192).read_to_string(&mut text).context("the password could not be read")?;
    match text.lines().next().filter(|l| !l.is_empty()) {
        Some(line) => Ok(line.to_string()),
        None => bail!("give the password on standard input"),
    }
}

impl User {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let at = |name: &str| format!("/users/{}", segment(name));
        match self {
            User::Create { name, common } => {
                let wish = UserWish { name, password: password()? };
                let made: UserDoc = Client::of(&common)?.post("/users", &wish)?;
                print::one(&common, &made)
            }
            User::List { common } => {
                let all: Vec<UserDoc> = Client::of(&common)?.get("/users")?;
                print::list(&common, &all)
            }
            User::Delete { name, common } => Client::of(&common)?.delete(&at(&name)),
            User::Grant { name, project, role, common } => {
                let wish = RoleWish { project, role };
                Client::of(&common)?.post_quietly(&format!("{}/roles", at(&name)), &wish)
            }
            User::Revoke { name, project, role, common } => {
                let wish = RoleWish { project, role };
                Client::of(&common)?.post_quietly(&format!("{}/roles/revoke", at(&name)), &wish)
            }
        }
    }
}

fn maybe(value: Option<impl ToString>) -> String {
    value.map(|v| v.to_string()).unwrap_or_default()
}

fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_string()
}

impl Tabular for TypeDoc {
    fn head() -> Vec<&'static str> {
        vec!["name", "public", "pool", "bytes/s", "requests/s", "encryption", "id"]
    }
    fn row(&self) -> Vec<String> {
        let (bytes, requests) = (maybe(self.bytes_per_second), maybe(self.requests_per_second));
        let pool = self.pool.clone().unwrap_or_default();
        let sealed = maybe(self.encryption.as_ref().map(|e| &e.control_location));
        vec![self.name.clone(), yes(self.public), pool, bytes, requests, sealed, self.id.to_string()]
    }
}

impl Tabular for QuotaDoc {
    fn head() -> Vec<&'static str> {
        vec!["what", "limit", "in use", "reserved"]
    }
    fn row(&self) -> Vec<String> {
        let limit = self.limit.map_or("any".to_string(), |l| l.to_string());
        vec![self.what.clone(), limit, self.in_use.to_string(), self.reserved.to_string()]
    }
}

impl Tabular for ProjectDoc {
    fn head() -> Vec<&'static str> {
        vec!["name", "enabled", "description", "id"]
    }
    fn row(&self) -> Vec<String> {
        vec![self.name.clone(), yes(self.enabled), self.description.clone(), self.id.to_string()]
    }
}

impl Tabular for UserDoc {
    fn head() -> Vec<&'static str> {
        vec!["name", "enabled", "roles", "id"]
    }
    fn row(&self) -> Vec<String> {
        vec![self.name.clone(), yes(self.enabled), self.roles.join(", "), self.id.to_string()]
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Type;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        verb: Type,
    }

    #[test]
    fn a_type_says_who_encrypts_or_nothing_of_it() {
        let wish = |more: &[&str]| {
            let words = ["type", "create", "t"].iter().chain(more);
            let Type::Create { encryption, .. } = Line::try_parse_from(words).ok()?.verb else { return None };
            Some(encryption.wish())
        };
        assert!(wish(&[]).unwrap().is_none());
        let sealed = wish(&["--encryption", "back-end"]).unwrap().unwrap();
        assert_eq!((sealed.control_location.as_str(), sealed.provider.as_str()), ("back-end", "luks"));
        assert_eq!((sealed.cipher.as_deref(), sealed.key_size), (Some("aes-xts-plain64"), Some(512)));
        let told =
            wish(&["--encryption", "front-end", "--cipher", "c", "--key-size", "256"]).unwrap().unwrap();
        assert_eq!((told.cipher.as_deref(), told.key_size), (Some("c"), Some(256)));
        for wrong in [
            &["--key-size", "256"][..],
            &["--encryption", "here"],
            &["--encryption", "back-end", "--key-size", "0"],
        ] {
            assert!(wish(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn ceilings_are_read() {
        let words = |w: &str| super::limits(&[w.to_string()]);
        assert_eq!(words("volumes=-1").unwrap()["volumes"], -1);
        assert!(words("volumes").is_err() && words("volumes=many").is_err());
    }
}
