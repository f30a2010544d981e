//! The real clients: Debian packages, one Python environment per client set, and the test files they run.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::command;

/// A program that a test needs, and the Debian package that brings it.
const DEBIAN: &[(&str, &str)] = &[
    ("fio", "fio"),
    ("nbdkit", "nbdkit"),
    ("nbdcopy", "libnbd-bin"),
    ("qemu-img", "qemu-utils"),
    ("lxc", "lxd-client"),
    ("mkfs.ext4", "e2fsprogs"),
];

/// The interpreter that Debian's `python3-libnbd` belongs to.
const SYSTEM_PYTHON: &str = "/usr/bin/python3";

/// Where a test file's interpreter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Python {
    /// Debian's own, with libnbd.
    System,
    /// The environment of this client set, pinned by `conformance/locks/<set>.txt`.
    Set(&'static str),
}

/// One test file and the interpreter that runs it.
pub struct Suite {
    /// What the heading says.
    pub name: &'static str,
    /// Below `conformance/`.
    pub file: &'static str,
    /// Who runs it.
    pub python: Python,
}

/// All test files, in the order in which they run.
pub const SUITES: &[Suite] = &[
    Suite { name: "harness", file: "test_harness.py", python: Python::System },
    Suite { name: "openstack", file: "test_openstack.py", python: Python::Set("openstack") },
    Suite { name: "openstack admin", file: "test_openstack_admin.py", python: Python::Set("openstack") },
    Suite { name: "openstack copies", file: "test_openstack_copies.py", python: Python::Set("openstack") },
    Suite { name: "openstack volumes", file: "test_openstack_volumes.py", python: Python::Set("openstack") },
    Suite { name: "openstack codes", file: "test_openstack_codes.py", python: Python::Set("openstack") },
    Suite {
        name: "openstack functions",
        file: "test_openstack_functions.py",
        python: Python::Set("openstack"),
    },
    Suite {
        name: "openstack commands",
        file: "test_openstack_commands.py",
        python: Python::Set("openstack"),
    },
    Suite {
        name: "openstack operators",
        file: "test_openstack_operators.py",
        python: Python::Set("openstack"),
    },
    Suite { name: "openstack by cinder", file: "test_cinder_volumes.py", python: Python::Set("openstack") },
    Suite {
        name: "openstack operators by cinder",
        file: "test_cinder_operators.py",
        python: Python::Set("openstack"),
    },
    // Looks at what the suites above noted.
    Suite { name: "openstack clients", file: "test_openstack_clients.py", python: Python::Set("openstack") },
    Suite { name: "external", file: "test_external.py", python: Python::Set("external") },
    Suite { name: "storpool 2.0.0", file: "test_storpool.py", python: Python::Set("storpool2") },
    Suite { name: "storpool 7.3.0", file: "test_storpool.py", python: Python::Set("storpool7") },
    Suite { name: "lxd", file: "test_lxd.py", python: Python::Set("lxd") },
    Suite { name: "cern", file: "test_cern.py", python: Python::Set("cern") },
    Suite { name: "rapyuta_io", file: "test_rapyuta.py", python: Python::Set("rapyuta1") },
    Suite { name: "rio", file: "test_rio.py", python: Python::Set("rio") },
    Suite { name: "nbd", file: "test_nbd.py", python: Python::System },
    Suite { name: "bad input", file: "test_bad_input.py", python: Python::System },
    Suite { name: "the first stone", file: "test_stone.py", python: Python::System },
    Suite { name: "crash", file: "test_crash.py", python: Python::System },
    Suite { name: "disks", file: "test_disks.py", python: Python::System },
];

/// Client sets that other suites call although no suite is run by their interpreter alone.
pub fn sets() -> impl Iterator<Item = &'static str> {
    let mut seen = Vec::new();
    SUITES.iter().filter_map(move |suite| match suite.python {
        Python::Set(set) if !seen.contains(&set) => {
            seen.push(set);
            Some(set)
        }
        _ => None,
    })
}

/// Install the Debian packages that are missing, if we may; otherwise say which.
pub fn install_programs() -> Result<bool> {
    let mut missing: Vec<&str> =
        DEBIAN.iter().filter(|(program, _)| !command::exists(program)).map(|(_, package)| *package).collect();
    if !imports(SYSTEM_PYTHON, "nbd") {
        missing.push("python3-libnbd");
    }
    install(&missing)
}

/// Install what the build needs beyond Rust, if we may; otherwise say what it is: OpenSSL's headers, a C compiler.
pub fn install_build_needs() -> Result<bool> {
    let mut missing = Vec::new();
    if !command::exists("cc") {
        missing.push("gcc");
    }
    if !command::exists("pkg-config") {
        missing.push("pkg-config");
    }
    let found = Command::new("pkg-config").args(["--exists", "openssl"]).status();
    if !found.is_ok_and(|status| status.success()) {
        missing.push("libssl-dev");
    }
    install(&missing)
}

fn install(missing: &[&str]) -> Result<bool> {
    if missing.is_empty() {
        println!("nothing is missing");
        return Ok(true);
    }
    let list = missing.join(" ");
    if !command::exists("apt-get") || !is_root()? {
        println!("missing: {list}; install these Debian packages, or run as root where apt-get exists");
        return Ok(false);
    }
    println!("installing {list}");
    let apt = |args: &[&str]| {
        command::run(
            Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(["-q", "-y"]).args(args),
        )
    };
    let install = [&["install", "--no-install-recommends"], missing].concat();
    // Lists may be absent or old; they are fetched only if the first try fails.
    Ok(apt(&install)? || (apt(&["update"])? && apt(&install)?))
}

fn is_root() -> Result<bool> {
    Ok(command::read(Command::new("id").arg("-u"))?.trim_ascii() == b"0")
}

fn imports(python: &str, module: &str) -> bool {
    let mut command = Command::new(python);
    command.args(["-W", "ignore", "-c", &format!("import {module}")]).stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The interpreter of a suite.
pub fn interpreter(root: &Path, python: Python) -> PathBuf {
    match python {
        Python::System => PathBuf::from(SYSTEM_PYTHON),
        Python::Set(set) => environment(root, set).join("bin/python"),
    }
}

fn environment(root: &Path, set: &str) -> PathBuf {
    root.join("target/venv").join(set)
}

/// Create the environment of a client set, unless it stands and its lock file has not changed since.
pub fn install_set(root: &Path, set: &str) -> Result<()> {
    let lock = root.join("conformance/locks").join(format!("{set}.txt"));
    let build = root.join("conformance/locks").join(format!("build_{set}.py"));
    let recipe = if build.exists() { std::fs::read(&build)? } else { Vec::new() };
    let pinned = std::fs::read(&lock).with_context(|| format!("reading {}", lock.display()))?;
    let home = environment(root, set);
    let stamp = home.join("lock-hash");
    let hash = hash_of(&[pinned.as_slice(), &recipe, home.to_string_lossy().as_bytes()]);
    if std::fs::read_to_string(&stamp).is_ok_and(|found| found == hash) {
        println!("{set}: as locked");
        return Ok(());
    }
    println!("{set}: installing what {} pins", lock.display());
    if home.exists() {
        std::fs::remove_dir_all(&home)?;
    }
    ensure!(
        command::run(Command::new(base_python()?).args(["-m", "venv"]).arg(&home))?,
        "no environment for {set}"
    );
    let python = home.join("bin/python");
    if pinned_lines(&String::from_utf8(pinned)?).next().is_some() {
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"])
            .arg(&lock);
        ensure!(command::run(&mut pip)?, "pip could not install {}", lock.display());
    }
    if build.exists() {
        ensure!(command::run(Command::new(&python).arg(&build))?, "{} failed", build.display());
    }
    std::fs::write(&stamp, hash)?;
    Ok(())
}

/// The lines of a lock file that pin something.
fn pinned_lines(lock: &str) -> impl Iterator<Item = &str> {
    lock.lines().filter(|line| !line.starts_with('#') && !line.is_empty())
}

/// A Python that can make environments and still has lib2to3, which the oldest client needs.
fn base_python() -> Result<&'static str> {
    let candidates = ["python3", SYSTEM_PYTHON, "python3.12", "python3.11", "python3.10", "python3.9"];
    match candidates.into_iter().find(|python| imports(python, "venv, ensurepip, lib2to3")) {
        Some(python) => Ok(python),
        None => bail!("no Python from 3.9 to 3.12 with venv, ensurepip and lib2to3 was found"),
    }
}

fn hash_of(parts: &[&[u8]]) -> String {
    let mut hasher = DefaultHasher::new();
    parts.iter().for_each(|part| part.hash(&mut hasher));
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_and_lock_file_is_there() {
        let conformance = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance");
        for suite in SUITES {
            assert!(conformance.join(suite.file).is_file(), "{}", suite.file);
        }
        for set in sets() {
            assert!(conformance.join(format!("locks/{set}.txt")).is_file(), "{set}");
        }
    }

    #[test]
    fn every_lock_file_pins_exact_versions() {
        let locks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/locks");
        for set in sets() {
            let text =
                std::fs::read_to_string(locks.join(format!("{set}.txt"))).expect("the lock file is there");
            for line in pinned_lines(&text) {
                assert!(line.contains("==") && !line.contains("://"), "{set}: {line}");
            }
        }
    }

    #[test]
    fn a_changed_lock_changes_the_hash() {
        assert_ne!(hash_of(&[b"a", b""]), hash_of(&[b"", b"a"]));
        assert_eq!(hash_of(&[b"a", b"b"]), hash_of(&[b"a", b"b"]));
    }
}
