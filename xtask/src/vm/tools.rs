//! QEMU and kmod: this machine's, or Debian's, unpacked below `target/vm/tools`. Nothing is installed, so nothing that is
//! has to give way.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::debian::unpack;
use crate::command::find;
use crate::{apt, repo};

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
        let unpacked = repo::target("vm").join("tools");
        let mut missing = Vec::new();
        let mut tool = |program: &str, at: &str, package| {
            let own = unpacked.join(at);
            find(program).unwrap_or_else(|| {
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
        let files = apt::download_with_dependencies(packages, &unfinished)?;
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
