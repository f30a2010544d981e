//! `parpen meta ...`: the control plane's database as a file.

use std::path::PathBuf;

use clap::Subcommand;
use parpen_meta::DataDir;

use super::print::say;
use super::{Common, Output};
use crate::config;

#[derive(Debug, Subcommand)]
pub(super) enum Meta {
    /// Copy the database to a new file, also while the server runs
    Backup {
        /// The file to make
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
    /// Put a copy in the place of a stopped server's database; the present one is kept beside it
    Restore {
        /// What `parpen meta backup` made
        file: PathBuf,
        #[command(flatten)]
        common: Common,
    },
}

impl Meta {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Meta::Backup { file, common } => {
                let data = config::data_dir(common.data_dir.as_deref())?;
                parpen_meta::backup(&data.join("meta.sqlite"), &file)?;
                let bytes = std::fs::metadata(&file)?.len();
                match common.output {
                    Output::Json => say(serde_json::json!({ "file": file, "bytes": bytes })),
                    Output::Table => say(format_args!(
                        "{}: {} of rows. Volumes' bytes are not in it, nor is {}",
                        file.display(),
                        parpen_base::format_size(bytes),
                        data.join("credentials.json").display(),
                    )),
                }
            }
            Meta::Restore { file, common } => {
                let data = DataDir::lock(&config::data_dir(common.data_dir.as_deref())?)?;
                let kept = parpen_meta::restore(&data, &file)?;
                if common.output == Output::Json {
                    return say(serde_json::json!({ "restored": data.database(), "kept": kept }));
                }
                if let Some(kept) = kept {
                    say(format_args!("the database that was there is {} now", kept.display()))?;
                }
                say(
                    "restored; what was under way when the copy was made will not be taken up. What disks hold that is \
                     newer than the copy: `parpen pool rebuild-metadata`, then `parpen fsck`",
                )
            }
        }
    }
}
