//! The compilers of the kernel object: found, named, and made ready to run.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::command::{cargo, find, forget_build_environment, stdout_of};
use crate::repo;

/// Which Rust compiles the kernel object.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// Debian's if it is unpacked (or can be, with --setup), else rustup's nightly.
    Auto,
    /// Debian's rustc-web with its ready-built `core` for BPF, unpacked below target/: the committed object's.
    Debian,
    /// rustup's nightly with the component rust-src.
    Nightly,
}

/// A compiler, a linker and LLVM's tools that fit together.
pub(crate) struct Toolchain {
    rust: Rust,
    /// bpf-linker.
    pub(crate) linker: PathBuf,
    /// The directory of llvm-objcopy and its like; None if they are in PATH.
    llvm: Option<PathBuf>,
}

/// A Rust that can compile for BPF.
pub(crate) enum Rust {
    /// Debian's, unpacked into a directory: `usr` inside it, and the directory of its shared libraries.
    Debian { usr: PathBuf, libraries: PathBuf },
    /// `rustup run nightly`.
    Nightly,
}

impl Rust {
    /// Debian's, if it is unpacked.
    pub(crate) fn debian() -> Option<Self> {
        let usr = debian_root().join("usr");
        // Named after the multiarch triple: x86_64-linux-gnu, aarch64-linux-gnu, …
        let libraries = fs::read_dir(usr.join("lib")).ok()?.flatten().map(|entry| entry.path()).find(|directory| {
            let files = fs::read_dir(directory).into_iter().flatten().flatten();
            files.into_iter().any(|file| file.file_name().to_string_lossy().starts_with("librustc_driver"))
        })?;
        usr.join("bin/rustc").is_file().then_some(Self::Debian { usr, libraries })
    }

    /// rustup's nightly, if it is installed with the sources of `core`.
    pub(crate) fn nightly() -> Option<Self> {
        let mut sysroot = Self::Nightly.rustc().ok()?;
        let output = sysroot.args(["--print", "sysroot"]).stderr(Stdio::null()).output().ok()?;
        let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        sysroot.join("lib/rustlib/src/rust/library/core").is_dir().then_some(Self::Nightly)
    }

    /// The compiler.
    pub(crate) fn rustc(&self) -> Result<Command> {
        let mut rustc = match self {
            Self::Debian { usr, libraries } => {
                let mut rustc = Command::new(usr.join("bin/rustc"));
                rustc.env("LD_LIBRARY_PATH", library_path(libraries)?);
                rustc
            }
            Self::Nightly => rustup_nightly("rustc"),
        };
        forget_build_environment(&mut rustc);
        Ok(rustc)
    }

    /// A cargo that uses the compiler, in an environment that holds nothing else to shape the build.
    pub(crate) fn cargo(&self) -> Result<Command> {
        let mut cargo = match self {
            Self::Debian { .. } => cargo(),
            Self::Nightly => rustup_nightly("cargo"),
        };
        cargo.current_dir(repo::root());
        forget_build_environment(&mut cargo);
        if let Self::Debian { usr, libraries } = self {
            // BPF is a target of the unstable kind: a stable compiler takes it only when told that it is no stable one.
            cargo.env("RUSTC", usr.join("bin/rustc")).env("RUSTC_BOOTSTRAP", "1");
            cargo.env("LD_LIBRARY_PATH", library_path(libraries)?);
        }
        Ok(cargo)
    }

    /// Where the compiler and its libraries are.
    pub(crate) fn sysroot(&self) -> Result<PathBuf> {
        Ok(PathBuf::from(stdout_of(self.rustc()?.args(["--print", "sysroot"]))?.trim()))
    }

    /// The value of `key` in what `rustc -vV` prints.
    pub(crate) fn verbose_version(&self, key: &str) -> Result<String> {
        let text = stdout_of(self.rustc()?.arg("-vV"))?;
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        value.map(str::to_owned).with_context(|| format!("rustc -vV has no line `{key}`"))
    }

    /// The major version of the LLVM in the compiler: the linker reads what that one writes.
    pub(crate) fn llvm_major(&self) -> Result<String> {
        let version = self.verbose_version("LLVM version")?;
        Ok(version.split('.').next().unwrap_or_default().to_owned())
    }
}

impl Toolchain {
    /// The toolchain that `choice` means, if everything it needs is there; an error that says what to do otherwise.
    pub(crate) fn find(choice: Choice) -> Result<Self> {
        let rust = match choice {
            Choice::Auto => Rust::debian().or_else(Rust::nightly),
            Choice::Debian => Rust::debian(),
            Choice::Nightly => Rust::nightly(),
        };
        let Some(rust) = rust else { bail!("{}", advice(choice)) };

        let major = rust.llvm_major()?;
        let own = linker_root(&major).join("bin/bpf-linker");
        let linker = if own.is_file() { Some(own) } else { find("bpf-linker") };
        let linker = linker.with_context(|| {
            format!("no bpf-linker for LLVM {major}: run `cargo xtask build-ebpf --setup`, with the same --toolchain")
        })?;
        let llvm = PathBuf::from(format!("/usr/lib/llvm-{major}/bin"));
        let llvm = llvm.join("llvm-objcopy").is_file().then_some(llvm);
        if llvm.is_none() && find("llvm-objcopy").is_none() {
            bail!("no llvm-objcopy: run `cargo xtask build-ebpf --setup`, or install LLVM's tools");
        }
        Ok(Self { rust, linker, llvm })
    }

    /// The Rust in it.
    pub(crate) fn rust(&self) -> &Rust {
        &self.rust
    }

    /// One of LLVM's tools.
    pub(crate) fn llvm(&self, tool: &str) -> Command {
        self.llvm.as_ref().map_or_else(|| Command::new(tool), |directory| Command::new(directory.join(tool)))
    }

    /// The versions of everything that writes into the object, as BUILDINFO records them.
    pub(crate) fn versions(&self) -> Result<Vec<(String, String)>> {
        let rustc = stdout_of(self.rust.rustc()?.arg("-V"))?;
        let llvm = stdout_of(self.llvm("llvm-objcopy").arg("--version"))?;
        let llvm = llvm.lines().find(|line| line.contains("version")).unwrap_or_default();
        let versions = [
            ("rustc", rustc.trim().to_owned()),
            ("rustc-llvm", self.rust.verbose_version("LLVM version")?),
            ("rustc-host", self.rust.verbose_version("host")?),
            ("cargo", stdout_of(self.rust.cargo()?.arg("-V"))?.trim().to_owned()),
            ("bpf-linker", stdout_of(Command::new(&self.linker).arg("--version"))?.trim().to_owned()),
            ("llvm", llvm.trim().to_owned()),
        ];
        Ok(versions.map(|(tool, version)| (tool.to_owned(), version)).into())
    }
}

/// Where Debian's packages are unpacked.
pub(crate) fn debian_root() -> PathBuf {
    repo::target("bpf-toolchain").join("debian")
}

/// Where the bpf-linker that reads what LLVM `major` writes is installed.
pub(crate) fn linker_root(major: &str) -> PathBuf {
    repo::target("bpf-toolchain").join(format!("bpf-linker-llvm-{major}"))
}

/// `libraries` before what the loader looks through anyway.
fn library_path(libraries: &Path) -> Result<OsString> {
    let others = env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let others = env::split_paths(&others).filter(|path| !path.as_os_str().is_empty());
    env::join_paths([libraries.to_owned()].into_iter().chain(others)).context("the repository's path has a colon in it")
}

/// `tool` of rustup's nightly.
fn rustup_nightly(tool: &str) -> Command {
    let mut rustup = Command::new("rustup");
    rustup.args(["run", "nightly", tool]);
    rustup
}

/// What to do about a missing toolchain.
fn advice(choice: Choice) -> String {
    let debian = "run `cargo xtask build-ebpf --setup` (Debian 12 or later: downloads and unpacks Debian's packages \
                  below target/)";
    let nightly = "run `rustup toolchain install nightly --component rust-src`";
    match choice {
        Choice::Auto if crate::apt::is_here() => format!("no Rust that compiles for BPF: {debian}; or {nightly}"),
        Choice::Auto => format!("no Rust that compiles for BPF: {nightly}"),
        Choice::Debian => format!("Debian's Rust for BPF is not unpacked: {debian}"),
        Choice::Nightly => format!("no nightly Rust with rust-src: {nightly}"),
    }
}
