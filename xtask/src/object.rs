//! The kernel object as a file: stripped, and asked for what is in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use crate::command::{run, stdout_of};
use crate::toolchain::Toolchain;

/// Copies `linked` to `stripped` without debug information, and without anything that depends on where and beside
/// what it was built. BTF, which the loader needs, has to survive that.
pub(crate) fn strip(toolchain: &Toolchain, linked: &Path, stripped: &Path) -> Result<()> {
    let mut objcopy = toolchain.llvm("llvm-objcopy");
    objcopy.arg("--strip-debug");
    let symbols = symbols(toolchain, linked, &[])?;
    let mangled: Vec<&str> = symbols.iter().map(String::as_str).filter(|name| name.starts_with("_R")).collect();
    if !mangled.is_empty() {
        let readable = stdout_of(toolchain.llvm("llvm-cxxfilt").args(&mangled))?;
        for (mangled, name) in mangled.iter().zip(plain_names(&readable)?) {
            objcopy.arg(format!("--redefine-sym={mangled}={name}"));
        }
    }
    run(objcopy.args([linked, stripped]))?;
    let sections = sections(toolchain, stripped)?;
    for needed in [".BTF", ".BTF.ext"] {
        ensure!(sections.contains(needed), "the kernel object has no section {needed}: did bpf-linker see --btf?");
    }
    refuse_copied_sources(stripped)
}

/// The functions that were not inlined have rustc's names (RFC 2603), with hashes in them that change with every crate
/// in Cargo.lock, with the host and with cargo's version. `readable` has these names demangled, one a line, which
/// leaves the hashes out; this makes plain words of them.
fn plain_names(readable: &str) -> Result<Vec<String>> {
    let mut taken = BTreeSet::new();
    let mut names = Vec::new();
    for line in readable.lines() {
        let name = line.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
        ensure!(taken.insert(name.clone()), "two functions of the kernel object would be called {name}");
        names.push(name);
    }
    Ok(names)
}

/// LLVM copies lines of source into .BTF.ext when it finds the file that the debug information names. All of ours are
/// renamed to places that do not exist; those of a ready-built `core` cannot be. With its sources installed under the
/// very path where it was built, the object would differ from everyone else's.
fn refuse_copied_sources(object: &Path) -> Result<()> {
    let bytes = fs::read(object)?;
    let names = bytes.split(|byte| *byte == 0).filter(|name| name.starts_with(b"/") && name.ends_with(b".rs"));
    for source in names.filter_map(|name| str::from_utf8(name).ok()) {
        ensure!(
            !Path::new(source).exists(),
            "{source} exists here, and LLVM has copied lines of it into the object, which is then like no other. \
             Remove the package that brings it (rust-web-src?) while you build"
        );
    }
    Ok(())
}

/// What a loader sees of the object, whatever compiler made it: the names of its sections and of its global symbols
/// (programs, maps and globals).
pub(crate) fn interface(toolchain: &Toolchain, object: &Path) -> Result<BTreeSet<String>> {
    let mut names: BTreeSet<String> =
        sections(toolchain, object)?.into_iter().map(|name| format!("section {name}")).collect();
    let symbols = symbols(toolchain, object, &["--extern-only"])?;
    names.extend(symbols.into_iter().map(|name| format!("symbol {name}")));
    Ok(names)
}

/// The names of the symbols that the object defines, those that `llvm-nm` selects with `options`.
fn symbols(toolchain: &Toolchain, object: &Path, options: &[&str]) -> Result<BTreeSet<String>> {
    let mut nm = toolchain.llvm("llvm-nm");
    nm.args(["--defined-only", "--format=posix"]).args(options).arg(object);
    Ok(stdout_of(&mut nm)?.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
}

/// The names of the sections that reach the kernel or the loader.
fn sections(toolchain: &Toolchain, object: &Path) -> Result<BTreeSet<String>> {
    let headers = stdout_of(toolchain.llvm("llvm-objdump").arg("--section-headers").arg(object))?;
    // Lines such as `  3 tp_btf/tcp_destroy_sock 000000d8 0000000000000000 TEXT`.
    let lines = headers.lines().filter(|line| line.trim_start().starts_with(|first: char| first.is_ascii_digit()));
    let names = lines.filter_map(|line| line.split_whitespace().nth(1));
    Ok(names.filter(|name| !name.starts_with(".rel") && !name.ends_with("tab")).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_gets_a_plain_name() {
        let names = plain_names("sockwatch_ebpf::sock::store\ncore::mem::swap::<u8>\n").unwrap();
        assert_eq!(names, ["sockwatch_ebpf__sock__store", "core__mem__swap___u8_"]);
    }

    #[test]
    fn two_functions_never_share_a_name() {
        plain_names("a::b\na::b\n").unwrap_err();
    }
}
