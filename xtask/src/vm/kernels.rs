//! The kernels that the tests run on: Debian's for clouds, the newest of each line, unpacked below `target/vm/kernels`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::debian::{self, Release};
use super::tools::Tools;
use crate::command::run;
use crate::repo;

/// What sockwatch can do there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Can {
    /// Everything: the tests have to pass.
    Trace,
    /// Nothing: it has to say so.
    Refuse,
}

/// A line of kernels.
pub(super) struct Line {
    /// What it is called here; the versions of the line begin so.
    pub(super) name: &'static str,
    /// The release of Debian that has it.
    codename: &'static str,
    /// The beginnings of the names of its packages; the rest is the same in all of them.
    packages: &'static [&'static str],
    pub(super) can: Can,
}

/// From the oldest, which is refused, to the newest.
pub(super) const LINES: [Line; 4] = [
    Line { name: "5.10", codename: "bullseye", packages: &["linux-image-5.10."], can: Can::Refuse },
    Line { name: "6.1", codename: "bookworm", packages: &["linux-image-6.1."], can: Can::Trace },
    Line { name: "6.12", codename: "bookworm", packages: &["linux-image-6.12."], can: Can::Trace },
    // The slowest is the last: what time the others leave is its. linux-image is empty there.
    Line { name: "7", codename: "sid", packages: &["linux-binary-7.", "linux-modules-7."], can: Can::Trace },
];

/// A kernel on the disk.
pub(super) struct Kernel {
    /// What `uname -r` says there.
    pub(super) release: String,
    /// The directory that holds it, with `lib/modules` in it.
    root: PathBuf,
}

impl Kernel {
    /// What the machine boots.
    pub(super) fn image(&self) -> PathBuf {
        self.root.join("vmlinuz")
    }

    /// The directory of its modules and of their lists.
    pub(super) fn modules(&self) -> PathBuf {
        self.root.join("lib/modules").join(&self.release)
    }

    fn at(root: PathBuf) -> Result<Self> {
        let mut modules = fs::read_dir(root.join("lib/modules"))?;
        let release = modules.next().context("there are no modules")??.file_name();
        Ok(Self { release: release.to_string_lossy().into_owned(), root })
    }
}

impl Line {
    /// Its kernel: the one that is there, or the newest, if there is none or `anew` is asked for.
    pub(super) fn kernel(&self, anew: bool, tools: &Tools) -> Result<Kernel> {
        let home = repo::target("vm").join("kernels").join(self.name);
        if home.exists() && !anew {
            return Kernel::at(home);
        }
        let release = Release::fetch(self.codename)?;
        let (first, _) = self.packages.split_first().expect("a line has packages");
        let names = release.packages(first)?.into_iter().filter(|name| name.ends_with("-cloud-amd64")).collect();
        let newest = debian::newest(names)
            .with_context(|| format!("Debian {} has no package {first}…-cloud-amd64", self.codename))?;
        let version = &newest[first.len()..];
        let packages: Vec<_> = self.packages.iter().map(|beginning| format!("{beginning}{version}")).collect();

        // What is interrupted leaves nothing half-made where it is looked for.
        let unfinished = repo::target("vm").join("kernels").join(format!("{}-unfinished", self.name));
        let _ = fs::remove_dir_all(&unfinished);
        fs::create_dir_all(unfinished.join("packages"))?;
        let files = release.download(&packages, &unfinished.join("packages"))?;
        debian::unpack(&files, &unfinished.join("root"))?;
        let done = arrange(&unfinished)?;
        run(tools.depmod().arg("-b").arg(&done).arg(Kernel::at(done.clone())?.release))?;
        let _ = fs::remove_dir_all(&home);
        fs::rename(&done, &home)?;
        fs::remove_dir_all(&unfinished)?;
        Kernel::at(home)
    }
}

/// Puts the image and the modules where they are looked for, wherever the packages have them.
fn arrange(unfinished: &Path) -> Result<PathBuf> {
    let (root, done) = (unfinished.join("root"), unfinished.join("done"));
    fs::create_dir_all(done.join("lib"))?;
    let modules = ["usr/lib/modules", "lib/modules"].map(|path| root.join(path));
    let modules = modules.iter().find(|path| path.is_dir()).context("the packages hold no modules")?;
    fs::rename(modules, done.join("lib/modules"))?;
    let kernel = Kernel::at(done.clone())?;
    let images = [root.join("boot").join(format!("vmlinuz-{}", kernel.release)), kernel.modules().join("vmlinuz")];
    let image = images.iter().find(|path| path.is_file()).context("the packages hold no kernel image")?;
    fs::rename(image, kernel.image())?;
    Ok(done)
}
