//! Debian packages: asked about, downloaded, installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::command::{find, run, stdout_of};
use crate::privilege::as_root;

/// Whether this is a Debian-like system.
pub(crate) fn is_here() -> bool {
    find("apt-get").is_some() && find("dpkg").is_some()
}

/// The version of `package` that apt would install; None if it knows none.
pub(crate) fn candidate(package: &str) -> Result<Option<String>> {
    let policy = stdout_of(Command::new("apt-cache").env("LC_ALL", "C").args(["policy", package]))?;
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
    Ok(version.filter(|version| *version != "(none)").map(str::to_owned))
}

/// The names of the packages that `package` at `version` depends on.
pub(crate) fn depends(package: &str, version: &str) -> Result<Vec<String>> {
    let record = stdout_of(Command::new("apt-cache").args(["show", &format!("{package}={version}")]))?;
    let line = record.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    Ok(line.split(',').filter_map(|one| one.split_whitespace().next()).map(str::to_owned).collect())
}

/// Those of `packages` that are not installed.
pub(crate) fn missing<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    let installed = |package: &str| {
        let mut query = Command::new("dpkg-query");
        query.args(["-W", "-f", "${db:Status-Status}", package]).stderr(Stdio::null());
        query.output().is_ok_and(|output| output.stdout.starts_with(b"installed"))
    };
    packages.iter().copied().filter(|package| !installed(package)).collect()
}

/// Fetches the lists of packages anew.
pub(crate) fn update() -> Result<()> {
    eprintln!("xtask: apt-get update");
    run(as_root("apt-get", "fetch Debian's lists of packages")?.args(["update", "-qq"]))
}

/// Installs `packages`, without what they merely recommend, and without starting any service that they bring: nginx's
/// package would otherwise take port 80.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    // invoke-rc.d(8) and deb-systemd-invoke ask this program; 101 means "do not". One that is there already is kept.
    const SCRIPT: &str = r#"
        set -eu
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap 'rm -f "$policy"' EXIT
            trap 'exit 130' INT TERM
            printf '#!/bin/sh\nexit 101\n' > "$policy"
            chmod 755 "$policy"
        fi
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
    "#;
    for package in packages {
        if candidate(package)?.is_none() {
            update()?;
            break;
        }
    }
    let list = packages.join(" ");
    eprintln!("xtask: apt-get install {list} (no service is started)");
    run(as_root("sh", &format!("install {list}"))?.args(["-c", SCRIPT, "sh"]).args(packages))
}

/// Downloads `packages` (each `name=version`) into `directory`.
pub(crate) fn download(packages: &[String], directory: &Path) -> Result<()> {
    eprintln!("xtask: apt-get download {}", packages.join(" "));
    // As root apt would download as the user _apt, who cannot write here.
    let options = ["-o", "APT::Sandbox::User=root", "download", "-qq"];
    run(Command::new("apt-get").args(options).args(packages).current_dir(directory))
        .context("apt-get update may help, if its lists are old")
}

/// Downloads `packages`, and what they depend on as far as it is not installed, into `directory`; returns the files.
pub(crate) fn download_with_dependencies(packages: &[&str], directory: &Path) -> Result<Vec<PathBuf>> {
    for package in packages {
        if candidate(package)?.is_none() {
            update()?;
            break;
        }
    }
    download_with_dependencies_by(Command::new("apt-get"), packages, directory)
}

/// As above, by an apt-get that was given options.
pub(crate) fn download_with_dependencies_by(
    mut apt: Command,
    packages: &[&str],
    directory: &Path,
) -> Result<Vec<PathBuf>> {
    eprintln!("xtask: apt-get download {}, and what they depend on", packages.join(" "));
    fs::create_dir_all(directory.join("partial"))?;
    let archives = format!("Dir::Cache::archives={}", directory.display());
    // Nothing is installed, so no other apt has to wait.
    let options = ["-o", &archives, "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"];
    let install = ["install", "-qq", "-y", "--no-install-recommends", "--download-only"];
    run(apt.args(options).args(install).args(packages))?;
    let files = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
}

/// Unpacks the package file `deb` into `directory`; nothing is installed.
pub(crate) fn unpack(deb: &Path, directory: &Path) -> Result<()> {
    eprintln!("xtask: dpkg -x {}", deb.display());
    run(Command::new("dpkg").arg("-x").args([deb, directory]))
}
