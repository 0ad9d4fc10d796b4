//! Makes the toolchain of the kernel object ready. On Debian that takes one command; what it installs with apt are
//! libraries only, and everything else stays below target/bpf-toolchain.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::apt;
use crate::command::{cargo, find, forget_build_environment, run};
use crate::repo;
use crate::toolchain::{Choice, Rust, debian_root, linker_root};

/// The release of bpf-linker that links the kernel object.
const LINKER_VERSION: &str = "0.13.0";

/// Makes ready whatever of the toolchain `choice` is missing. Says each step before it is taken; says nothing and
/// costs nothing when all is there.
pub(crate) fn setup(choice: Choice) -> Result<()> {
    let debian_has_it = || -> Result<bool> { Ok(apt::is_here() && debian_version()?.is_some()) };
    let rust = match choice {
        Choice::Debian => debian_rust()?,
        Choice::Nightly => nightly_rust()?,
        Choice::Auto => match Rust::debian() {
            Some(rust) => rust,
            None if debian_has_it()? => debian_rust()?,
            None => nightly_rust()?,
        },
    };
    llvm(&rust.llvm_major()?)?;
    linker(&rust.llvm_major()?)
}

/// Debian's Rust, unpacked if it isn't.
fn debian_rust() -> Result<Rust> {
    if let Some(rust) = Rust::debian() {
        return Ok(rust);
    }
    if !apt::is_here() {
        bail!("no apt here: use --toolchain nightly");
    }
    let version = debian_version()?.context("apt knows no package libstd-rust-web-dev-bpf: use --toolchain nightly")?;
    // Names carry the version: libstd-rust-web-1.96, libllvm22.
    let dependency = |package: &str, prefix: &str| -> Result<String> {
        let found = apt::depends(package, &version)?.into_iter().find(|name| {
            name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        });
        found.with_context(|| format!("{package} {version} depends on no {prefix}…"))
    };
    let libstd = dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
    let libllvm = dependency(&libstd, "libllvm")?;
    install_missing(&[&libllvm])?;

    // Downloaded and unpacked beside the final place, so that an interrupted setup leaves nothing half-made there.
    let unfinished = repo::target("bpf-toolchain").join("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let root = unfinished.join("root");
    fs::create_dir_all(&root)?;
    let packages = ["rustc-web", "libstd-rust-web-dev", &libstd, "libstd-rust-web-dev-bpf"];
    apt::download(&packages.map(|package| format!("{package}={version}")), &unfinished)?;
    let mut debs: Vec<PathBuf> = fs::read_dir(&unfinished)?.flatten().map(|entry| entry.path()).collect();
    debs.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    for deb in debs {
        apt::unpack(&deb, &root)?;
    }
    fs::rename(&root, debian_root())?;
    fs::remove_dir_all(&unfinished)?;
    Rust::debian().context("Debian's packages hold no rustc where it was expected")
}

/// The version of Debian's Rust for BPF; None if apt knows none, even with fresh lists.
fn debian_version() -> Result<Option<String>> {
    const PACKAGE: &str = "libstd-rust-web-dev-bpf";
    if let Some(version) = apt::candidate(PACKAGE)? {
        return Ok(Some(version));
    }
    apt::update()?;
    apt::candidate(PACKAGE)
}

/// rustup's nightly with the sources of `core`, installed if it isn't.
fn nightly_rust() -> Result<Rust> {
    if let Some(rust) = Rust::nightly() {
        return Ok(rust);
    }
    if find("rustup").is_none() {
        bail!("no rustup here: install it from https://rustup.rs, then run this again");
    }
    eprintln!("xtask: rustup toolchain install nightly --component rust-src");
    run(Command::new("rustup").args([
        "toolchain",
        "install",
        "nightly",
        "--profile",
        "minimal",
        "--component",
        "rust-src",
    ]))?;
    Rust::nightly().context("rustup's nightly has no rust-src")
}

/// What bpf-linker is built with, and the tools that strip the object.
fn llvm(major: &str) -> Result<()> {
    if apt::is_here() {
        let versioned = [format!("llvm-{major}-dev"), format!("libclang-{major}-dev"), format!("libpolly-{major}-dev")];
        let [llvm, clang, polly] = &versioned;
        if apt::candidate(llvm)?.is_none() {
            bail!(
                "this rustc has LLVM {major}, and apt knows no {llvm} to build bpf-linker with: try another --toolchain"
            );
        }
        install_missing(&[llvm, clang, polly, "zlib1g-dev", "libzstd-dev"])?;
    } else if find("llvm-objcopy").is_none() {
        bail!("install LLVM {major} with its development files, then run this again");
    }
    Ok(())
}

/// bpf-linker, built if it isn't there in the version that is wanted.
fn linker(llvm_major: &str) -> Result<()> {
    let version = |program: PathBuf| {
        let output = Command::new(program).arg("--version").stderr(Stdio::null()).output().ok()?;
        String::from_utf8(output.stdout).ok()
    };
    let wanted = format!("bpf-linker {LINKER_VERSION}");
    if version(linker_root(llvm_major).join("bin/bpf-linker")).is_some_and(|version| version.trim() == wanted) {
        return Ok(());
    }
    let features = format!("llvm-{llvm_major}");
    let mut install = cargo();
    forget_build_environment(&mut install)
        .args(["install", "bpf-linker", "--quiet", "--force", "--locked", "--version", LINKER_VERSION])
        .args(["--no-default-features", "--features", &features, "--root"])
        .arg(linker_root(llvm_major));
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm_major}"));
    if prefix.is_dir() {
        install.env("LLVM_PREFIX", prefix);
    }
    eprintln!("xtask: cargo install bpf-linker --version {LINKER_VERSION} --features {features} (one to two minutes)");
    run(&mut install)
}

/// Installs those of `packages` that are missing.
fn install_missing(packages: &[&str]) -> Result<()> {
    let missing = apt::missing(packages);
    if missing.is_empty() { Ok(()) } else { apt::install(&missing) }
}
