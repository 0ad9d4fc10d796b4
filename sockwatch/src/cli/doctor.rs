//! `sockwatch doctor`: what this kernel and these privileges allow, what is missing, and how to get it.

use std::io::{self, Write};

use serde::Serialize;

use super::args::Doctor;
use crate::{
    kernel::{self, Attached, CAPABILITIES, Facts, PROBES},
    untrusted::Untrusted,
};

/// The smallest ring: nothing will be read from it.
const RING: u32 = 4096;

/// What was found. The fields of the JSON line.
#[derive(Serialize)]
struct Findings<'a> {
    r#type: &'static str,
    version: &'static str,
    host: String,
    kernel: String,
    boot_id: String,
    lockdown: Option<String>,
    tracefs_mounted: bool,
    capabilities: Vec<Power<'a>>,
    probes: Vec<Finding>,
    error: Option<String>,
    ok: bool,
}

/// A capability.
#[derive(Serialize)]
struct Power<'a> {
    name: &'a str,
    have: bool,
    used_for: &'a str,
}

/// A probe.
#[derive(Serialize)]
struct Finding {
    probe: String,
    attached: bool,
    required: bool,
    gives: &'static str,
    without: &'static str,
    why_not: Option<String>,
    /// Why tracepoints are attached, where trampolines would cost the host less.
    no_trampolines: Option<String>,
}

/// Runs the command; returns the exit code: 0 if `trace` will work, 1 if not.
///
/// # Errors
/// If stdout can't be written.
pub fn run(args: &Doctor) -> anyhow::Result<u8> {
    let findings = examine()?;
    let mut out = io::stdout().lock();
    let written = if args.json {
        serde_json::to_writer(&mut out, &findings).map_err(io::Error::from).and_then(|()| writeln!(out))
    } else {
        print(&mut out, &findings)
    };
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(u8::from(!findings.ok)),
    }
}

fn examine() -> anyhow::Result<Findings<'static>> {
    let facts = Facts::gather();
    // The ring wants an event loop to wait in.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _guard = runtime.enter();
    let loaded = kernel::load(kernel::Options { buffer: RING, root: None, port: None, calls: kernel::Calls::Auto });
    let text = |text: &Untrusted| text.to_text().into_owned();
    let (error, attached, missing) = match &loaded {
        Ok(loaded) => (None, loaded.attached.as_slice(), loaded.missing.as_slice()),
        Err(error) => (Some(error.to_string()), &[][..], &[][..]),
    };
    let probes = PROBES.iter().map(|probe| {
        let attached = attached.iter().find(|attached| attached.probe == *probe);
        Finding {
            probe: attached.map_or_else(|| probe.name(), Attached::name),
            attached: attached.is_some(),
            required: probe.required,
            gives: probe.gives,
            without: probe.without,
            why_not: missing.iter().find(|missing| missing.probe == *probe).map(|missing| missing.why.clone()),
            no_trampolines: attached.and_then(|attached| attached.why_not.clone()),
        }
    });
    Ok(Findings {
        r#type: "doctor",
        version: env!("CARGO_PKG_VERSION"),
        host: text(&facts.host),
        kernel: text(&facts.kernel),
        boot_id: text(&facts.boot_id),
        lockdown: facts.lockdown.as_ref().map(text),
        tracefs_mounted: kernel::tracefs::is_mounted(),
        capabilities: CAPABILITIES
            .iter()
            .map(|capability| Power {
                name: capability.name,
                have: facts.may(capability),
                used_for: capability.used_for,
            })
            .collect(),
        probes: probes.collect(),
        ok: error.is_none(),
        error,
    })
}

fn print(out: &mut impl Write, findings: &Findings<'_>) -> io::Result<()> {
    let shown = |text: &str| Untrusted::new(text.as_bytes());
    let mark = |good: bool| if good { "ok     " } else { "missing" };
    writeln!(out, "sockwatch {} on {}, Linux {}", findings.version, shown(&findings.host), shown(&findings.kernel))?;
    if let Some(lockdown) = &findings.lockdown {
        writeln!(out, "lockdown: {} (confidentiality would refuse the programs)", shown(lockdown))?;
    }
    let tracefs =
        if findings.tracefs_mounted { "mounted" } else { "not mounted; sockwatch mounts it for itself alone" };
    writeln!(out, "tracefs: {tracefs}")?;
    writeln!(out, "\ncapabilities of this process")?;
    for Power { name, have, used_for } in &findings.capabilities {
        writeln!(out, "  {}  {name:<20} {used_for}", mark(*have))?;
    }
    writeln!(out, "\nprobes")?;
    for Finding { probe, attached, required: _, gives, without: _, why_not: _, no_trampolines: _ } in &findings.probes {
        writeln!(out, "  {}  {probe:<27} {gives}", mark(*attached))?;
    }
    if let Some(error) = &findings.error {
        return writeln!(out, "\nsockwatch trace will not work here: {}", shown(error));
    }
    if let Some(why) = findings.probes.iter().find_map(|finding| finding.no_trampolines.as_deref()) {
        writeln!(
            out,
            "\nsystem calls are seen by tracepoints, which make each call of every process a little slower while they are \
             attached; trampolines, which do not, can't be had here: {}",
            shown(why)
        )?;
    }
    let mut told: Vec<&str> = Vec::new();
    for why in findings.probes.iter().filter_map(|finding| finding.why_not.as_deref()) {
        if !told.contains(&why) {
            told.push(why);
            writeln!(out, "\nmissing: {}", shown(why))?;
        }
    }
    writeln!(out, "\nsockwatch trace will work here{}.", if told.is_empty() { "" } else { ", without what is missing" })
}
