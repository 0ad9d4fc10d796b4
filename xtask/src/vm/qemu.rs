//! One virtual machine from its start to its end.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::kernels::Kernel;
use super::tools::Tools;

/// A machine that writes nothing for so long hangs: the longest test was seen to take two minutes where the host is busy.
const SILENCE: Duration = Duration::from_mins(5);

/// What the kernel is told. A stall of its processors is one only if the emulation is not to blame; the time stamp counter
/// of an emulated processor is the host's, and reading any other clock is slow.
const COMMAND_LINE: &str = "console=ttyS0 loglevel=6 panic=-1 tsc=reliable mitigations=off random.trust_cpu=on \
                            rcupdate.rcu_cpu_stall_timeout=240 watchdog_thresh=60";

/// How it came to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// It turned itself off.
    Off,
    /// It said nothing any more.
    Hung,
    /// The time that it had was over.
    Cut,
}

/// What it left.
pub(super) struct Ended {
    /// What the kernel wrote to its console.
    pub(super) console: String,
    /// What the tests wrote to stdout.
    pub(super) results: String,
    pub(super) took: Duration,
    pub(super) end: End,
    /// Where all of it is kept.
    pub(super) kept: PathBuf,
}

/// Boots a kernel with a first file system, and waits until it turns itself off, until `deadline` at the longest.
pub(super) fn run(
    tools: &Tools,
    kernel: &Kernel,
    initramfs: &Path,
    kept: &Path,
    kvm: bool,
    deadline: Option<Instant>,
) -> Result<Ended> {
    fs::create_dir_all(kept)?;
    let output = |name: &str| kept.join(name);
    let mut qemu = tools.qemu()?;
    qemu.args(if kvm { ["-accel", "kvm", "-cpu", "host"] } else { ["-accel", "tcg,thread=multi", "-cpu", "max"] });
    qemu.args(["-smp", "2", "-m", "2G", "-nodefaults", "-display", "none", "-no-reboot", "-append", COMMAND_LINE]);
    qemu.arg("-kernel").arg(kernel.image()).arg("-initrd").arg(initramfs);
    for file in ["console", "results", "stderr"] {
        let mut serial = std::ffi::OsString::from("file:");
        serial.push(output(file));
        qemu.arg("-serial").arg(serial);
    }
    qemu.stdin(Stdio::null()).stderr(File::create(output("qemu"))?);

    let started = Instant::now();
    let mut child = qemu.spawn().context("cannot start qemu-system-x86_64")?;
    let written = || ["console", "results"].map(|file| fs::metadata(output(file)).map_or(0, |file| file.len()));
    let mut last = (written(), started);
    let end = loop {
        if child.try_wait()?.is_some() {
            break End::Off;
        }
        let (now, written) = (Instant::now(), written());
        if written != last.0 {
            last = (written, now);
        }
        let end = if now.duration_since(last.1) > SILENCE {
            End::Hung
        } else if deadline.is_some_and(|deadline| now > deadline) {
            End::Cut
        } else {
            thread::sleep(Duration::from_millis(100));
            continue;
        };
        child.kill()?;
        child.wait()?;
        break end;
    };
    let read = |file: &str| Ok::<_, anyhow::Error>(String::from_utf8_lossy(&fs::read(output(file))?).replace('\r', ""));
    let (console, results) = (read("console")?, read("results")?);
    Ok(Ended { console, results, took: started.elapsed(), end, kept: kept.to_owned() })
}
