//! What the kernel object was built from, as one hash; and BUILDINFO, the record beside the object.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// What BUILDINFO says, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BuildInfo {
    /// Hash of everything that shapes the object: [`source_digest`].
    pub(crate) sources: String,
    /// SHA-256 of the object.
    pub(crate) object: String,
    /// The compilers, as `(what, version)`.
    pub(crate) toolchain: Vec<(String, String)>,
}

impl BuildInfo {
    /// Reads lines of the form `key: value`; `#` starts a comment.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (mut sources, mut object, mut toolchain) = (None, None, Vec::new());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (key, value) = line.split_once(": ").with_context(|| format!("not `key: value`: {line}"))?;
            match key {
                "sources-sha256" => sources = Some(value.to_owned()),
                "object-sha256" => object = Some(value.to_owned()),
                tool => toolchain.push((tool.to_owned(), value.to_owned())),
            }
        }
        let sources = sources.context("no line `sources-sha256`")?;
        let object = object.context("no line `object-sha256`")?;
        Ok(Self { sources, object, toolchain })
    }

    /// The text of the file.
    pub(crate) fn render(&self) -> String {
        let Self { sources, object, toolchain } = self;
        let mut text = String::from("# How sockwatch.bpf.o was made. Written by `cargo xtask build-ebpf`.\n");
        write!(text, "sources-sha256: {sources}\nobject-sha256: {object}\n").expect("a String takes every write");
        for (tool, version) in toolchain {
            writeln!(text, "{tool}: {version}").expect("a String takes every write");
        }
        text
    }

    /// Reads the committed file.
    pub(crate) fn committed() -> Result<Self> {
        let path = crate::repo::buildinfo();
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("in {}", path.display()))
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes every write");
        hex
    })
}

/// The hash of everything in the repository that shapes the kernel object: the crate's sources and manifest, what
/// it takes from the workspace's, the versions of the crates that are compiled into it, and the build's own flags.
pub(crate) fn source_digest() -> Result<String> {
    let root = crate::repo::root();
    let mut files = vec![PathBuf::from("sockwatch-ebpf/Cargo.toml"), PathBuf::from("xtask/src/flags.rs")];
    add_files(&root, Path::new("sockwatch-ebpf/src"), &mut files)?;
    files.sort();

    let mut hash = Sha256::new();
    let mut add = |name: &str, bytes: &[u8]| {
        // Lengths keep neighbours apart: no two different lists of files feed the hash the same bytes.
        hash.update(format!("{name}\0{}\0", bytes.len()));
        hash.update(bytes);
    };
    for file in &files {
        let bytes = fs::read(root.join(file)).with_context(|| format!("cannot read {}", file.display()))?;
        add(&file.to_string_lossy(), &bytes);
    }
    let manifest = fs::read_to_string(root.join("Cargo.toml")).context("cannot read Cargo.toml")?;
    for line in manifest.lines().filter(|line| line.starts_with("edition ") || line.starts_with("aya-ebpf ")) {
        add("Cargo.toml", line.as_bytes());
    }
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    // aya-build and what it needs only run, in a build script that chooses cfgs.
    for package in locked_dependencies(&lock, "aya-ebpf", "aya-build") {
        add("Cargo.lock", package.as_bytes());
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Adds every file below `directory` (relative to `root`) to `files`.
fn add_files(root: &Path, directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(root.join(directory)).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        // What an editor keeps beside a file is no source.
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if entry.file_type()?.is_dir() {
            add_files(root, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The packages of a Cargo.lock that `first` needs, itself among them, as `name version checksum`, sorted. What `leaf`
/// needs is left out.
fn locked_dependencies(lock: &str, first: &str, leaf: &str) -> BTreeSet<String> {
    let packages: Vec<LockedPackage<'_>> = lock.split("[[package]]").skip(1).map(LockedPackage::parse).collect();
    let mut found = BTreeSet::new();
    let mut wanted = vec![first];
    while let Some(dependency) = wanted.pop() {
        for package in packages.iter().filter(|package| package.satisfies(dependency)) {
            let &LockedPackage { name, version, checksum, ref dependencies } = package;
            if found.insert(format!("{name} {version} {checksum}")) && name != leaf {
                wanted.extend(dependencies);
            }
        }
    }
    found
}

/// One `[[package]]` of a Cargo.lock.
struct LockedPackage<'a> {
    name: &'a str,
    version: &'a str,
    checksum: &'a str,
    dependencies: Vec<&'a str>,
}

impl<'a> LockedPackage<'a> {
    /// Reads the lines that follow `[[package]]`, which cargo writes one value a line.
    fn parse(block: &'a str) -> Self {
        let value = |key: &str| {
            let line = block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
            line.unwrap_or_default().trim_matches('"')
        };
        let dependencies = block.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
        Self {
            name: value("name"),
            version: value("version"),
            checksum: value("checksum"),
            dependencies: dependencies.collect(),
        }
    }

    /// Whether `dependency`, which reads `name` or `name version`, means this package.
    fn satisfies(&self, dependency: &str) -> bool {
        let (name, version) = dependency.split_once(' ').unwrap_or((dependency, self.version));
        name == self.name && version == self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_kernel_object_was_built_from_these_sources() {
        let recorded = BuildInfo::committed().expect("no BUILDINFO: run `cargo xtask build-ebpf`");
        let object = fs::read(crate::repo::object()).expect("no kernel object: run `cargo xtask build-ebpf`");
        assert_eq!(
            source_digest().unwrap(),
            recorded.sources,
            "sockwatch-ebpf or a crate it is built from has changed since the kernel object was built: run `cargo \
             xtask build-ebpf`, and commit what it writes"
        );
        assert_eq!(
            sha256(&object),
            recorded.object,
            "sockwatch.bpf.o is not the object that BUILDINFO describes: run `cargo xtask build-ebpf`, and commit \
             what it writes"
        );
    }

    #[test]
    fn buildinfo_reads_back_as_it_was_written() {
        let written = BuildInfo {
            sources: "aa".to_owned(),
            object: "bb".to_owned(),
            toolchain: vec![("rustc".to_owned(), "rustc 1.96.0 (host: x)".to_owned())],
        };
        assert_eq!(BuildInfo::parse(&written.render()).unwrap(), written);
    }

    #[test]
    fn only_the_crates_below_the_first_one_are_counted() {
        let lock = [
            "version = 4",
            "[[package]]\nname = \"aya-ebpf\"\nversion = \"0.2.1\"\nchecksum = \"c1\"\ndependencies = [",
            " \"aya-build\",\n \"syn 2.0.1\",\n]",
            "[[package]]\nname = \"aya-build\"\nversion = \"0.2.0\"\nchecksum = \"c2\"\ndependencies = [\n \"libc\",\n]",
            "[[package]]\nname = \"clap\"\nversion = \"4.0.0\"\nchecksum = \"c3\"",
            "[[package]]\nname = \"libc\"\nversion = \"0.2.1\"\nchecksum = \"c4\"",
            "[[package]]\nname = \"syn\"\nversion = \"2.0.1\"\nchecksum = \"c5\"",
            "[[package]]\nname = \"syn\"\nversion = \"3.0.0\"\nchecksum = \"c6\"",
        ];
        let found: Vec<String> = locked_dependencies(&lock.join("\n"), "aya-ebpf", "aya-build").into_iter().collect();
        assert_eq!(found, ["aya-build 0.2.0 c2", "aya-ebpf 0.2.1 c1", "syn 2.0.1 c5"]);
    }

    #[test]
    fn sha256_is_the_one_that_sha256sum_prints() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
