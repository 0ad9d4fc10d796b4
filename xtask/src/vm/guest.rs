//! The first file system of the virtual machine: the tests, and of this machine's files what they need, at the same
//! paths; the kernel's modules.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::archive::Archive;
use super::kernels::Kernel;
use super::tests::Tests;
use super::tools::Tools;
use crate::command::{find, run};
use crate::repo;

/// The programs of the tests, and of those that they start.
const PROGRAMS: [&str; 43] = [
    "cat", "chmod", "cp", "curl", "cut", "date", "dd", "echo", "env", "false", "grep", "head", "id", "ip", "iptables",
    "kill", "ln", "ls", "mkdir", "mkfifo", "mount", "nginx", "nsenter", "rm", "sed", "seq", "setpriv", "setsid", "sh",
    "sleep", "socat", "ss", "stty", "sysctl", "tail", "tee", "test", "tr", "true", "umount", "uname", "unshare", "wc",
];

/// What else they read. What is not there is left out.
const FILES: [&str; 8] = [
    "/etc/ethertypes",
    "/etc/group",
    "/etc/iproute2",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/protocols",
    "/usr/lib/x86_64-linux-gnu/xtables",
];

/// Parts of Python's library that no test uses; half of it.
const NOT_PYTHON: [&str; 9] =
    ["distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "sqlite3", "test", "tkinter", "unittest"];

/// Directories that have to be there, with their permissions.
const DIRECTORIES: [(&str, u32); 13] = [
    ("/dev", 0o755),
    ("/etc", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/var/lib/nginx", 0o755),
    ("/var/log/nginx", 0o755),
    ("/var/lock", 0o755),
    ("/var/run", 0o755),
    ("/var/tmp", 0o1777),
    ("/mnt", 0o755),
];

/// The modules that may be loaded, with all that they need: sockets and what looks at them, and netfilter.
const MODULES: [&str; 10] = [
    "kernel/drivers/net/dummy.ko",
    "kernel/drivers/net/veth.ko",
    "kernel/fs/overlayfs/",
    "kernel/net/ipv4/",
    "kernel/net/ipv6/",
    "kernel/net/mptcp/",
    "kernel/net/netfilter/",
    "kernel/net/sched/sch_netem.ko",
    "kernel/net/tls/",
    "kernel/net/unix/",
];

/// An archive, and what of this machine is in it.
#[derive(Clone)]
pub(super) struct Guest<'a> {
    archive: Archive,
    /// Programs and libraries whose own libraries are still to be put in.
    linked: BTreeSet<PathBuf>,
    tools: &'a Tools,
}

impl<'a> Guest<'a> {
    /// The tests with all that they need, for any kernel.
    pub(super) fn new(tests: &Tests, tools: &'a Tools) -> Result<Self> {
        let mut guest = Self { archive: Archive::default(), linked: BTreeSet::new(), tools };
        // As Debian has it since its release 12; what is found in /bin, say, is put in /usr/bin.
        for name in ["bin", "lib", "lib64", "sbin"] {
            guest.directory(&Path::new("/usr").join(name), 0o755)?;
            guest.archive.link(&format!("/{name}"), &format!("usr/{name}"));
        }
        for program in PROGRAMS {
            let path = find(program).with_context(|| format!("{program} is not installed, and the tests need it"))?;
            guest.add(&path)?;
        }
        for file in FILES.map(Path::new) {
            if file.exists() {
                guest.add_all(file, &[])?;
            }
        }
        guest.python()?;
        guest.add_all(&repo::root().join("tests/data"), &[])?;
        // From there the tests look for it.
        guest.directory(&repo::root().join("sockwatch"), 0o755)?;
        for program in [&tests.program, &tests.sockwatch] {
            guest.add_stripped(program)?;
        }
        for (path, permissions) in DIRECTORIES {
            guest.directory(Path::new(path), permissions)?;
        }
        let kmod = fs::read(tools.kmod())?;
        guest.linked.insert(tools.kmod().clone());
        guest.archive.file("/usr/bin/kmod", 0o755, &kmod);
        // What the kernel starts to load a module: /sbin/modprobe.
        guest.archive.link("/usr/sbin/modprobe", "../bin/kmod");
        guest.libraries()?;
        guest.archive.file("/init", 0o755, include_bytes!("init.sh"));
        Ok(guest)
    }

    /// The archive for one kernel, in which this script runs the tests.
    pub(super) fn finish(mut self, kernel: &Kernel, script: &str) -> Result<Vec<u8>> {
        let from = kernel.modules();
        let to = format!("/usr/lib/modules/{}", kernel.release);
        let read =
            |path: &str| fs::read(from.join(path)).with_context(|| format!("{path} of Linux {}", kernel.release));
        self.directory(Path::new(&to), 0o755)?;
        let lists = fs::read_dir(&from)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        for list in lists.iter().filter(|path| path.is_file()) {
            let name = list.file_name().unwrap_or_default().to_string_lossy();
            self.archive.file(&format!("{to}/{name}"), 0o644, &read(&name)?);
        }
        for module in modules(&String::from_utf8(read("modules.dep")?)?) {
            let path = format!("{to}/{module}");
            self.directory(Path::new(&path).parent().unwrap_or(Path::new("/")), 0o755)?;
            self.archive.file(&path, 0o644, &read(&module)?);
        }
        self.archive.file("/tests", 0o644, script.as_bytes());
        Ok(self.archive.finish())
    }

    /// A directory of the guest's own, and those that it is in.
    fn directory(&mut self, path: &Path, permissions: u32) -> Result<()> {
        let mut at = PathBuf::from("/");
        let count = path.components().count();
        for (nth, component) in path.components().enumerate().skip(1) {
            at.push(component);
            self.archive.directory(word(&at)?, if nth + 1 == count { permissions } else { 0o755 });
        }
        Ok(())
    }

    /// A file of this machine, with the links that lead to it. Returns where it is in the end.
    fn add(&mut self, path: &Path) -> Result<PathBuf> {
        let mut at = PathBuf::from("/");
        let mut ahead: VecDeque<OsString> = names(path).collect();
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            let next = at.join(&name);
            let kind = fs::symlink_metadata(&next).with_context(|| format!("cannot read {}", next.display()))?;
            let permissions = kind.permissions().mode() & 0o7777;
            if kind.is_symlink() {
                let target = fs::read_link(&next)?;
                self.archive.link(word(&next)?, word(&target)?);
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                names(&target).rev().for_each(|name| ahead.push_front(name));
                continue;
            }
            if kind.is_dir() {
                self.archive.directory(word(&next)?, permissions);
            } else if kind.is_file() && !self.archive.has(word(&next)?) {
                let content = fs::read(&next)?;
                if content.starts_with(b"\x7fELF") {
                    self.linked.insert(next.clone());
                }
                self.archive.file(word(&next)?, permissions, &content);
            }
            at = next;
        }
        Ok(at)
    }

    /// A file or a directory with all that is in it, but for what has one of these names.
    fn add_all(&mut self, path: &Path, without: &[&str]) -> Result<()> {
        let place = self.add(path)?;
        if !place.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(&place)? {
            let entry = entry?;
            if without.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            // A link may lead nowhere, or to where nothing is needed.
            if entry.file_type()?.is_symlink() {
                let target = fs::read_link(entry.path())?;
                if entry.path().exists() {
                    self.archive.link(word(&entry.path())?, word(&target)?);
                }
                continue;
            }
            self.add_all(&entry.path(), without)?;
        }
        Ok(())
    }

    /// Debian's Python with its library.
    fn python(&mut self) -> Result<()> {
        let python = Path::new("/usr/bin/python3");
        let name = self.add(python).context("the tests need Debian's python3")?;
        let library = Path::new("/usr/lib").join(name.file_name().unwrap_or_default());
        self.add_all(&library, &NOT_PYTHON)
    }

    /// A program without what only debuggers read: that is most of it.
    fn add_stripped(&mut self, program: &Path) -> Result<()> {
        let stripped = repo::target("vm").join("stripped");
        run(Command::new("strip").args(["--strip-debug", "-o"]).args([&stripped, program]))?;
        self.directory(program.parent().context("a program is in a directory")?, 0o755)?;
        self.archive.file(word(program)?, 0o755, &fs::read(&stripped)?);
        self.linked.insert(program.to_owned());
        Ok(())
    }

    /// The libraries that the loader would find for everything that is in it.
    fn libraries(&mut self) -> Result<()> {
        // It fails for those of them that are linked statically, and tells of the others.
        let mut ldd = Command::new("ldd");
        ldd.args(&self.linked).env("LD_LIBRARY_PATH", self.tools.library_path()?).stderr(Stdio::null());
        let output = ldd.output().context("cannot start ldd")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let missing: Vec<_> = text.lines().filter(|line| line.ends_with("=> not found")).map(str::trim).collect();
        ensure!(missing.is_empty(), "libraries are missing here: {}", missing.join(", "));
        for library in libraries(&text) {
            self.library(Path::new(library))?;
        }
        Ok(())
    }

    fn library(&mut self, library: &Path) -> Result<()> {
        if library.starts_with(repo::root()) {
            // Unpacked, not installed: it gets the place that it would have.
            let name = library.file_name().unwrap_or_default().to_string_lossy();
            self.archive.file(&format!("/usr/lib/x86_64-linux-gnu/{name}"), 0o755, &fs::read(library)?);
            return Ok(());
        }
        self.add(library).map(drop)
    }
}

/// The names on a path, without its root.
fn names(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    let components = path.components().filter(|component| !matches!(component, Component::RootDir | Component::CurDir));
    components.map(|component| component.as_os_str().to_owned())
}

fn word(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

/// The paths in what ldd says, each with the address that it would be at.
fn libraries(text: &str) -> BTreeSet<&str> {
    let found = text.lines().filter_map(|line| line.trim().split_once(" (0x"));
    let paths = found.map(|(line, _)| line.split_once("=> ").map_or(line, |(_, path)| path));
    paths.filter(|path| path.starts_with('/')).collect()
}

/// Those of a modules.dep that [`MODULES`] names, and those that they need.
fn modules(dependencies: &str) -> BTreeSet<String> {
    let lines = dependencies.lines().filter_map(|line| line.split_once(':'));
    let wanted = lines.filter(|(module, _)| MODULES.iter().any(|wanted| module.starts_with(wanted)));
    wanted.flat_map(|(module, needs)| [module].into_iter().chain(needs.split_whitespace())).map(str::to_owned).collect()
}

#[cfg(test)]
mod self_tests {
    use super::{libraries, modules};

    #[test]
    fn the_libraries_are_read_from_what_ldd_says() {
        let text = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x2)\n\t/lib64/ld-linux-x86-64.so.2 (0x3)\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(Vec::from_iter(libraries(&format!("/usr/bin/one:\n{text}/usr/bin/two:\n{text}"))), expected);
        assert!(libraries("\tstatically linked\n").is_empty());
    }

    #[test]
    fn a_module_comes_with_those_that_it_needs() {
        let text = "kernel/net/ipv4/tcp_diag.ko.xz: kernel/net/core/inet_diag.ko.xz\nkernel/drivers/nvme.ko.xz:\n\
                    kernel/net/core/inet_diag.ko.xz:\nkernel/drivers/net/veth.ko.xz:\n";
        let expected =
            ["kernel/drivers/net/veth.ko.xz", "kernel/net/core/inet_diag.ko.xz", "kernel/net/ipv4/tcp_diag.ko.xz"];
        assert_eq!(Vec::from_iter(modules(text)), expected);
    }
}
