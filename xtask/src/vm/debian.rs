//! Another release of Debian: apt asks about it and downloads from it with lists of its own, below `target/`. What this
//! machine knows and has installed is neither used nor changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::{run, stdout_of};
use crate::repo;

/// Debian's keys, of the package debian-archive-keyring.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A release, with its lists of packages.
pub(super) struct Release {
    options: Vec<String>,
}

impl Release {
    /// Fetches the lists of the release of this code name from the servers that this machine uses.
    pub(super) fn fetch(codename: &str) -> Result<Self> {
        Self::prepare(codename, &sources(codename, &own_servers()?), None)
    }

    /// This machine's own release, with newer packages that were made for it: what is installed counts as there.
    pub(super) fn own_with_backports() -> Result<Self> {
        let os = fs::read_to_string("/etc/os-release").context("cannot read which release of Debian this is")?;
        let codename = os.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
        let codename = codename.context("this is no release of Debian")?;
        let servers = own_servers()?;
        let backports = format!("{codename}-backports");
        let security = Servers { security: None, ..servers.clone() };
        let lines = sources(codename, &servers) + &sources(&backports, &security);
        let mut release = Self::prepare(&backports, &lines, Some("/var/lib/dpkg/status"))?;
        release.options.push(format!("APT::Default-Release={backports}"));
        Ok(release)
    }

    fn prepare(name: &str, sources: &str, status: Option<&str>) -> Result<Self> {
        let directory = repo::target("vm").join(format!("apt-{name}"));
        for part in ["lists/partial", "cache/archives/partial", "empty"] {
            fs::create_dir_all(directory.join(part))?;
        }
        fs::write(directory.join("sources.list"), sources)?;
        fs::write(directory.join("status"), "")?;
        let place = |name: &str, part: &str| format!("{name}={}", directory.join(part).display());
        let options = vec![
            place("Dir::State::lists", "lists"),
            status.map_or_else(|| place("Dir::State::status", "status"), |path| format!("Dir::State::status={path}")),
            place("Dir::Cache", "cache"),
            place("Dir::Etc::sourcelist", "sources.list"),
            place("Dir::Etc::sourceparts", "empty"),
            place("Dir::Etc::preferencesparts", "empty"),
            "APT::Architecture=amd64".to_owned(),
            // As root apt would download as the user _apt, who cannot write here.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned(),
        ];
        let release = Self { options };
        eprintln!("xtask: apt-get update, for Debian {name}");
        // Without it, lists that could not be fetched are a warning.
        run(release.apt("apt-get").args(["update", "-qq", "--error-on=any"]))?;
        Ok(release)
    }

    /// The names of its packages that begin so.
    pub(super) fn packages(&self, beginning: &str) -> Result<Vec<String>> {
        let names = stdout_of(self.apt("apt-cache").args(["pkgnames", beginning]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Downloads packages into a directory.
    pub(super) fn download(&self, packages: &[String], directory: &Path) -> Result<Vec<PathBuf>> {
        eprintln!("xtask: apt-get download {}", packages.join(" "));
        run(self.apt("apt-get").args(["download", "-qq"]).args(packages).current_dir(directory))?;
        let files = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        Ok(files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
    }

    /// Downloads packages into a directory, with what they depend on as far as it is not installed.
    pub(super) fn download_with_dependencies(&self, packages: &[&str], directory: &Path) -> Result<Vec<PathBuf>> {
        crate::apt::download_with_dependencies_by(self.apt("apt-get"), packages, directory)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }
}

/// Where this machine gets Debian, and Debian's security updates.
#[derive(Clone)]
struct Servers {
    main: String,
    security: Option<String>,
}

fn own_servers() -> Result<Servers> {
    let format = "$(LABEL) $(COMPONENT) $(REPO_URI)";
    let targets =
        stdout_of(Command::new("apt-get").args(["indextargets", "--format", format, "Created-By: Packages"]))?;
    servers(&targets).context("apt knows no server of Debian here: `apt-get update` may help")
}

/// Reads what `apt-get indextargets` says.
fn servers(targets: &str) -> Option<Servers> {
    let of = |label: &str| {
        let mut lines = targets.lines().filter_map(|line| line.strip_prefix(label)?.strip_prefix(" main "));
        lines.next().map(str::to_owned)
    };
    Some(Servers { main: of("Debian")?, security: of("Debian-Security") })
}

/// The lines of a sources.list. The unstable release gets no security updates of its own.
fn sources(codename: &str, servers: &Servers) -> String {
    let signed = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
    let mut lines = format!("deb {signed}{} {codename} main\n", servers.main);
    if let Some(security) = servers.security.as_ref().filter(|_| codename != "sid") {
        lines += &format!("deb {signed}{security} {codename}-security main\n");
    }
    lines
}

/// The newest of some packages, by the numbers in their names.
pub(super) fn newest(packages: Vec<String>) -> Option<String> {
    packages.into_iter().max_by_key(|package| numbers(package))
}

fn numbers(name: &str) -> Vec<u64> {
    name.split(|character: char| !character.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Unpacks packages into a directory. Nothing is installed.
pub(super) fn unpack(packages: &[PathBuf], directory: &Path) -> Result<()> {
    ensure!(!packages.is_empty(), "apt-get downloaded nothing");
    packages.iter().try_for_each(|package| crate::apt::unpack(package, directory))
}

#[cfg(test)]
mod tests {
    use super::{newest, servers};

    #[test]
    fn the_newest_kernel_is_found_by_number() {
        let names =
            ["linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64", "linux-image-6.1.0-50-cloud-amd64"];
        assert_eq!(newest(names.map(str::to_owned).to_vec()).as_deref(), Some(names[1]));
    }

    #[test]
    fn the_servers_are_those_that_this_machine_uses() {
        let targets = "Node main https://node.example/\nDebian contrib http://a.example/\nDebian main http://b.example/\n\
                       Debian-Security main http://c.example/\n";
        let servers = servers(targets).expect("both");
        assert_eq!(
            (servers.main.as_str(), servers.security.as_deref()),
            ("http://b.example/", Some("http://c.example/"))
        );
    }
}
