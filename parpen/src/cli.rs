//! The command line: what people type, and the same for machines with `--output json`.

mod admin;
mod client;
mod commands;
mod copies;
mod credential;
mod disk;
mod env;
mod meta;
mod print;
mod progress;
mod size;
mod target;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::config;

/// One block-storage service that the clients of OpenStack, StorPool, LXD, CERN storage-api and rapyuta.io know.
#[derive(Debug, Parser)]
#[command(name = "parpen", version)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

/// Where the server is, and how to print.
#[derive(Debug, clap::Args)]
struct Common {
    /// The server's data directory [default: $PARPEN_DATA_DIR, else parpen in the XDG data folder]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Tables for people, or JSON for machines
    #[arg(long, global = true, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(config::Options),
    /// Print what a client needs, for `eval "$(parpen env NAME)"`
    Env {
        /// Which client
        #[arg(value_enum)]
        name: env::Client,
        #[command(flatten)]
        common: Common,
    },
    /// The service at a glance
    Status {
        #[command(flatten)]
        common: Common,
    },
    /// Pools: places for volumes
    #[command(subcommand)]
    Pool(commands::Pool),
    /// Disks of pools
    #[command(subcommand)]
    Disk(disk::Disk),
    /// What disks do in the background
    #[command(subcommand)]
    Task(disk::Task),
    /// Volumes
    #[command(subcommand)]
    Volume(commands::Volume),
    /// Snapshots of volumes
    #[command(subcommand)]
    Snapshot(commands::Snapshot),
    /// Backups of volumes, outside of their pools
    #[command(subcommand)]
    Backup(copies::Backup),
    /// Images: disks to make volumes of
    #[command(subcommand)]
    Image(copies::Image),
    /// Hosts: who attaches and locks
    #[command(subcommand)]
    Host(commands::Host),
    /// Volume types: named policies
    #[command(subcommand)]
    Type(admin::Type),
    /// Quotas of projects
    #[command(subcommand)]
    Quota(admin::Quota),
    /// Projects: who owns volumes
    #[command(subcommand)]
    Project(admin::Project),
    /// Users of the OpenStack side
    #[command(subcommand)]
    User(admin::User),
    /// Secrets of the first principal
    #[command(subcommand)]
    Credential(credential::Credential),
    /// The control plane's database
    #[command(subcommand)]
    Meta(meta::Meta),
    /// Check a stopped data directory
    Fsck {
        #[command(flatten)]
        common: Common,
        /// Read every stored byte and verify its checksum too
        #[arg(long)]
        data: bool,
        /// Before that, bring every disk up to date and mend from its replicas what does not match its checksum
        #[arg(long)]
        repair: bool,
    },
}

/// Does what was asked.
pub fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Command::Serve(options) => crate::serve::serve(config::settings(options)?),
        Command::Env { name, common } => env::print(name, &config::data_dir(common.data_dir.as_deref())?),
        Command::Status { common } => commands::status(&common),
        Command::Pool(c) => c.run(),
        Command::Disk(c) => c.run(),
        Command::Task(c) => c.run(),
        Command::Volume(c) => c.run(),
        Command::Snapshot(c) => c.run(),
        Command::Backup(c) => c.run(),
        Command::Image(c) => c.run(),
        Command::Host(c) => c.run(),
        Command::Type(c) => c.run(),
        Command::Quota(c) => c.run(),
        Command::Project(c) => c.run(),
        Command::User(c) => c.run(),
        Command::Credential(c) => c.run(),
        Command::Meta(c) => c.run(),
        Command::Fsck { common, data, repair } => {
            let how = crate::drivers::fsck::How { data, repair };
            crate::drivers::fsck::run(&config::data_dir(common.data_dir.as_deref())?, how)
        }
    }
}
