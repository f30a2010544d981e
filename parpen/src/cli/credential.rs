//! `parpen credential ...`.

use clap::{Subcommand, ValueEnum};
use parpen_model::Api;
use parpen_native::doc::RotateWish;

use super::client::Client;
use super::{Common, Output};
use crate::{config, files};

/// A side that has a secret.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Side {
    Openstack,
    Storpool,
    Cern,
    Rapyuta,
    Native,
}

impl Side {
    fn api(self) -> Api {
        match self {
            Side::Openstack => Api::OpenStack,
            Side::Storpool => Api::StorPool,
            Side::Cern => Api::Cern,
            Side::Rapyuta => Api::Rapyuta,
            Side::Native => Api::Native,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Credential {
    /// Print the secrets
    Show {
        /// Only this side's, as bare text
        #[arg(value_enum)]
        side: Option<Side>,
        #[command(flatten)]
        common: Common,
    },
    /// Make new secrets; the old ones end at once
    Rotate {
        /// Only these sides'
        #[arg(value_enum)]
        sides: Vec<Side>,
        #[command(flatten)]
        common: Common,
    },
}

impl Credential {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Credential::Show { side, common } => {
                let secrets = files::read_secrets(&config::data_dir(common.data_dir.as_deref())?)?;
                match (side, common.output) {
                    (Some(side), _) => {
                        println!(
                            "{}",
                            secrets.secrets.get(&side.api()).map(String::as_str).unwrap_or_default()
                        );
                    }
                    (None, Output::Json) => println!("{}", serde_json::to_string_pretty(&secrets)?),
                    (None, Output::Table) => {
                        println!("principal  {}\nproject    {}", secrets.principal, secrets.project);
                        for (api, secret) in &secrets.secrets {
                            println!("{:<10} {secret}", api.word());
                        }
                    }
                }
                Ok(())
            }
            Credential::Rotate { sides, common } => {
                let apis = sides.iter().map(|s| s.api().word().to_string()).collect();
                Client::of(&common)?.post_quietly("/credentials/rotate", &RotateWish { apis })
            }
        }
    }
}
