//! QEMU and kmod: this machine's, or Debian's, unpacked below `target/vm/programs`. Nothing is installed, so nothing that is
//! has to give way.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian::{Release, unpack};
use crate::command::{find, stdout_of};
use crate::{apt, repo};

/// The oldest QEMU that emulates two processors well. Older ones may keep code that one processor changes while another begins to
/// run it: a breakpoint that the kernel puts into its own code for a moment was hit after it had gone ("Oops: int3"). Pages are
/// locked while they are translated since 8.1 (accel/tcg/translate-all.c).
const OLDEST: (u32, u32) = (8, 1);

/// Of texts like `QEMU emulator version 7.2.22 (Debian …)` and `1:10.0.2+ds-2`.
fn version(text: &str) -> Option<(u32, u32)> {
    let word = text.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()))?;
    let mut numbers = word.rsplit_once(':').map_or(word, |(_, version)| version).split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn is_new_enough(qemu: &Path) -> bool {
    let said = stdout_of(Command::new(qemu).arg("--version")).ok();
    said.and_then(|text| version(&text)).is_some_and(|version| version >= OLDEST)
}

/// Whether that of this machine's release is.
fn is_new_enough_here() -> Result<bool> {
    if apt::candidate("qemu-system-x86")?.is_none() {
        apt::update()?;
    }
    Ok(apt::candidate("qemu-system-x86")?.and_then(|text| version(&text)).is_some_and(|version| version >= OLDEST))
}

/// The programs, and what to start them with.
pub(super) struct Tools {
    qemu: PathBuf,
    kmod: PathBuf,
    /// Where those are unpacked that this machine has not.
    unpacked: PathBuf,
}

impl Tools {
    /// Finds them, or downloads and unpacks them.
    pub(super) fn ready() -> Result<Self> {
        let unpacked = repo::target("vm").join("programs");
        let mut missing = Vec::new();
        let mut tool = |program: &str, at: &str, package| {
            let own = unpacked.join(at);
            let found = find(program).filter(|path| program == "kmod" || is_new_enough(path));
            found.unwrap_or_else(|| {
                if !own.is_file() {
                    missing.push(package);
                }
                own
            })
        };
        let qemu = tool("qemu-system-x86_64", "usr/bin/qemu-system-x86_64", "qemu-system-x86");
        let kmod = tool("kmod", "bin/kmod", "kmod");
        let tools = Self { qemu, kmod, unpacked };
        if !missing.is_empty() {
            tools.fetch(&missing)?;
        }
        Ok(tools)
    }

    fn fetch(&self, packages: &[&str]) -> Result<()> {
        if !apt::is_here() {
            bail!("virtual machines need {}: install that", packages.join(" and "));
        }
        let unfinished = self.unpacked.with_extension("unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(&unfinished)?;
        let files = if is_new_enough_here()? {
            apt::download_with_dependencies(packages, &unfinished)?
        } else {
            Release::own_with_backports()?.download_with_dependencies(packages, &unfinished)?
        };
        unpack(&files, &self.unpacked)?;
        fs::remove_dir_all(&unfinished)?;
        Ok(())
    }

    /// QEMU for x86-64.
    pub(super) fn qemu(&self) -> Result<Command> {
        let mut qemu = Command::new(&self.qemu);
        if self.qemu.starts_with(&self.unpacked) {
            let libraries = self.unpacked.join("usr/lib/x86_64-linux-gnu");
            qemu.env("QEMU_MODULE_DIR", libraries.join("qemu"));
            qemu.env("LD_LIBRARY_PATH", self.library_path()?);
            for firmware in ["usr/share/qemu", "usr/share/seabios"] {
                qemu.arg("-L").arg(self.unpacked.join(firmware));
            }
        }
        Ok(qemu)
    }

    /// The program that lists what modules need.
    pub(super) fn depmod(&self) -> Command {
        let mut depmod = Command::new(&self.kmod);
        depmod.arg0("depmod");
        if let Ok(path) = self.library_path()
            && self.kmod.starts_with(&self.unpacked)
        {
            depmod.env("LD_LIBRARY_PATH", path);
        }
        depmod
    }

    /// kmod(8): the guest's modprobe.
    pub(super) fn kmod(&self) -> &PathBuf {
        &self.kmod
    }

    /// Where the libraries are that were unpacked; for ldd, too.
    pub(super) fn library_path(&self) -> Result<std::ffi::OsString> {
        let own = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"].map(|path| self.unpacked.join(path));
        env::join_paths(own).context("the repository's path has a colon in it")
    }
}

#[cfg(test)]
mod self_tests {
    use super::{OLDEST, version};

    #[test]
    fn versions_are_read_from_what_qemu_and_apt_say() {
        let old = version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)").expect("a version");
        let new = version("1:10.0.2+ds-2+deb13u1~bpo12+1").expect("a version");
        assert_eq!((old, new), ((7, 2), (10, 0)));
        assert!(old < OLDEST && new > OLDEST);
        assert_eq!(version("none"), None);
    }
}
