//! The direction of dependencies between crates, and which foreign crates each layer may use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::Finding;
use crate::command;

/// The part of `cargo metadata` that the rules need.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// Every package of the dependency graph.
    pub packages: Vec<Package>,
    /// Ids of our own packages.
    pub workspace_members: Vec<String>,
    resolve: Option<Resolve>,
}

/// One package.
#[derive(Debug, Deserialize)]
pub struct Package {
    id: String,
    /// Its name.
    pub name: String,
    /// Where its Cargo.toml lies.
    pub manifest_path: String,
    /// What it builds.
    pub targets: Vec<Target>,
    dependencies: Vec<Dependency>,
}

/// A library, binary, test or build script.
#[derive(Debug, Deserialize)]
pub struct Target {
    /// `lib`, `bin`, `test`, `custom-build` and so on.
    pub kind: Vec<String>,
    /// Its root file.
    pub src_path: String,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `None` is a normal one.
    kind: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDep>,
}

#[derive(Debug, Deserialize)]
struct NodeDep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Debug, Deserialize)]
struct DepKind {
    kind: Option<String>,
}

impl Metadata {
    /// Our own packages.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}

/// Ask cargo, for the platform we run on.
pub fn metadata(root: &Path) -> Result<Metadata> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let version = command::read(Command::new(&cargo).arg("-vV"))?;
    let version = String::from_utf8(version)?;
    let host =
        version.lines().find_map(|line| line.strip_prefix("host: ")).context("cargo -vV names the host")?;
    let json = command::read(
        Command::new(&cargo)
            .current_dir(root)
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", host]),
    )?;
    serde_json::from_slice(&json).context("reading cargo metadata")
}

/// Our crates from the bottom up, each with those of ours that it may see. The binary sees all but the test crates.
const MAY_SEE: &[(&str, &[&str])] = &[
    ("parpen-base", &[]),
    ("parpen-block", &["parpen-base"]),
    ("parpen-ring", &["parpen-base", "parpen-block"]),
    ("parpen-model", &["parpen-base", "parpen-block"]),
    ("parpen-identity", &["parpen-base", "parpen-model"]),
    ("parpen-service", &["parpen-base", "parpen-block", "parpen-identity", "parpen-model"]),
    ("parpen-meta", &["parpen-base", "parpen-identity", "parpen-model"]),
    ("parpen-archive", &["parpen-base", "parpen-block", "parpen-model"]),
    ("parpen-image", &["parpen-base", "parpen-block", "parpen-model"]),
    ("parpen-keys", &["parpen-base", "parpen-block", "parpen-model"]),
    ("parpen-cloud", &["parpen-base", "parpen-block", "parpen-identity", "parpen-image", "parpen-model"]),
    ("parpen-engine", &["parpen-base", "parpen-block", "parpen-ring"]),
    ("parpen-array", &["parpen-base", "parpen-block", "parpen-engine", "parpen-ring"]),
    ("parpen-http", &["parpen-base", "parpen-identity", "parpen-model"]),
    ("parpen-openstack", API),
    ("parpen-storpool", API),
    ("parpen-lxd", API),
    ("parpen-cern", API),
    ("parpen-rapyuta", API),
    ("parpen-native", NATIVE_API),
    ("parpen-nbd", &["parpen-base", "parpen-block", "parpen-ring"]),
    (
        "parpen",
        &[
            "parpen-archive",
            "parpen-array",
            "parpen-base",
            "parpen-block",
            "parpen-cern",
            "parpen-cloud",
            "parpen-engine",
            "parpen-http",
            "parpen-identity",
            "parpen-image",
            "parpen-keys",
            "parpen-lxd",
            "parpen-meta",
            "parpen-model",
            "parpen-native",
            "parpen-nbd",
            "parpen-openstack",
            "parpen-rapyuta",
            "parpen-ring",
            "parpen-service",
            "parpen-storpool",
        ],
    ),
    ("parpen-sim", &["parpen-array", "parpen-base", "parpen-block", "parpen-engine", "parpen-ring"]),
    ("xtask", &[]),
];

const API: &[&str] = &["parpen-base", "parpen-http", "parpen-identity", "parpen-model", "parpen-service"];

/// The native API also imports and exports bytes, and names the sessions that are open.
const NATIVE_API: &[&str] =
    &["parpen-base", "parpen-block", "parpen-http", "parpen-identity", "parpen-model", "parpen-service"];

/// The model is nouns and tables: nothing else may be written with.
const MODEL_ONLY: &[&str] = &["serde", "serde_json", "uuid", "jiff", "thiserror"];

/// The data path has its own reactor; these may not even see tokio through somebody else.
const WITHOUT_TOKIO: &[&str] =
    &["parpen-ring", "parpen-block", "parpen-engine", "parpen-array", "parpen-nbd"];

/// Kinds of foreign libraries, and the crates that may use them directly.
const LIBRARIES: &[(&str, &[&str], &[&str])] = &[
    (
        "HTTP",
        &[
            "hyper",
            "hyper-util",
            "http",
            "http-body-util",
            "httparse",
            "axum",
            "tower",
            "tower-http",
            "tokio-tungstenite",
        ],
        &[
            "parpen-http",
            "parpen-openstack",
            "parpen-storpool",
            "parpen-lxd",
            "parpen-cern",
            "parpen-rapyuta",
            "parpen-native",
            "parpen",
        ],
    ),
    // An object store and other services are reached over HTTP.
    ("HTTP client", &["ureq", "reqwest"], &["parpen", "parpen-archive", "parpen-cloud"]),
    (
        "SQL",
        &["rusqlite", "libsqlite3-sys", "sqlx", "tokio-postgres", "postgres", "diesel"],
        &["parpen-meta"],
    ),
    (
        "TLS",
        &["rustls", "tokio-rustls", "rcgen", "native-tls"],
        &["parpen-http", "parpen-nbd", "parpen", "parpen-archive", "parpen-cloud"],
    ),
    ("cipher", &["openssl"], &["parpen-keys"]),
    ("io_uring", &["io-uring", "tokio-uring", "monoio"], &["parpen-ring"]),
    ("command line", &["clap", "comfy-table", "indicatif", "anyhow"], &["parpen", "xtask", "parpen-sim"]),
];

/// All rules of this module.
pub fn check(metadata: &Metadata) -> Vec<Finding> {
    let members: BTreeSet<&str> = metadata.members().map(|package| package.name.as_str()).collect();
    let mut findings = Vec::new();
    for package in metadata.members() {
        let path = manifest(package);
        let mut report = |message: String| findings.push(Finding::new(&path, 0, message));
        let Some((_, may_see)) = MAY_SEE.iter().find(|(name, _)| *name == package.name) else {
            report(format!("crate {} is unknown: give it a place in xtask/src/tidy/deps.rs", package.name));
            continue;
        };
        for dep in package.dependencies.iter().filter(|dep| dep.kind.as_deref() != Some("dev")) {
            if members.contains(dep.name.as_str()) && !may_see.contains(&dep.name.as_str()) {
                report(format!("{} may not depend on {}: arrows only go down", package.name, dep.name));
            }
            if package.name == "parpen-model"
                && !dep.name.starts_with("parpen-")
                && !MODEL_ONLY.contains(&dep.name.as_str())
            {
                report(format!("the model may not use {}", dep.name));
            }
            for (what, libraries, homes) in LIBRARIES {
                if libraries.contains(&dep.name.as_str()) && !homes.contains(&package.name.as_str()) {
                    report(format!("{} may not use the {what} library {}", package.name, dep.name));
                }
            }
        }
        for dep in package.dependencies.iter().filter(|dep| dep.kind.as_deref() == Some("dev")) {
            if ["parpen", "xtask"].contains(&dep.name.as_str()) {
                report(format!("{} may not depend on {}, not even in tests", package.name, dep.name));
            }
        }
        if WITHOUT_TOKIO.contains(&package.name.as_str()) && reaches(metadata, &package.id, "tokio") {
            report(format!("{} may not reach tokio", package.name));
        }
    }
    findings
}

fn manifest(package: &Package) -> String {
    let mut parts: Vec<&str> = package.manifest_path.rsplit('/').take(3).collect();
    parts.reverse();
    parts.join("/")
}

/// Whether a package sees `wanted` through normal and build dependencies.
fn reaches(metadata: &Metadata, from: &str, wanted: &str) -> bool {
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
    let nodes: BTreeMap<&str, &Node> = metadata
        .resolve
        .iter()
        .flat_map(|resolve| &resolve.nodes)
        .map(|node| (node.id.as_str(), node))
        .collect();
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(id) = open.pop() {
        if names.get(id) == Some(&wanted) {
            return true;
        }
        for dep in nodes.get(id).iter().flat_map(|node| &node.deps) {
            let real = dep.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
            if real && seen.insert(&dep.pkg) {
                open.push(&dep.pkg);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests;
