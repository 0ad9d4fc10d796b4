//! The page of all that was measured.

use std::fmt::Write;

use serde::Serialize;

use super::costs::Cost;
use super::figures::{Figures, KernelCost};
use super::load::Mix;
use super::machine::Machine;
use super::offline::{Offline, Speed};
use super::rounds::Round;
use super::stats::Spread;
use super::tools::Tool;

/// Everything, as the JSON has it.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) seconds: f64,
    pub(crate) nice: i8,
    /// What rounds and costs come to.
    pub(crate) figures: Vec<Figures>,
    pub(crate) kernel: Vec<KernelCost>,
    pub(crate) offline: Option<Offline>,
    /// What they were.
    pub(crate) rounds: Vec<Round>,
    pub(crate) costs: Vec<Cost>,
}

/// How much of the processors others may take in a measurement before it is called disturbed.
const DISTURBED: f64 = 0.05;

impl Report {
    /// As Markdown.
    pub(crate) fn page(&self) -> String {
        let mut page = String::new();
        self.write(&mut page).expect("a string takes everything");
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        page.write_str(HEAD)?;
        self.machine(page)?;
        let mut mixes: Vec<Mix> = self.rounds.iter().map(|round| round.mix).collect();
        mixes.sort_unstable();
        mixes.dedup();
        for mix in mixes {
            self.rates(page, mix)?;
            self.tools(page, mix)?;
        }
        self.kernel(page)?;
        self.ledger(page)?;
        self.quiet(page)?;
        if let Some(measured) = &self.offline {
            page.write_str(&offline(measured))?;
        }
        page.write_str(TAIL)
    }

    fn machine(&self, page: &mut String) -> std::fmt::Result {
        let Machine {
            date,
            processor,
            processors,
            virtual_machine,
            memory_bytes,
            kernel,
            distribution,
            mitigations,
            clocksource,
            rustc,
            commit,
            tools,
        } = &self.machine;
        let kind = if *virtual_machine { "virtual" } else { "physical" };
        writeln!(page, "## The machine\n")?;
        writeln!(page, "- {date}, commit {commit}, {rustc}")?;
        writeln!(
            page,
            "- {processor}, {processors} processors ({kind}), {:.0} GiB of memory, clock source {clocksource}",
            *memory_bytes as f64 / f64::from(1 << 30)
        )?;
        writeln!(page, "- Linux {kernel}, {distribution}")?;
        let mitigations: Vec<String> = mitigations.iter().map(|(name, said)| format!("{name}: {said}")).collect();
        let mitigations = if mitigations.is_empty() { "none needed".to_owned() } else { mitigations.join(". ") };
        writeln!(page, "- Mitigations: {mitigations}")?;
        let mut versions: Vec<String> = tools
            .values()
            .map(|version| match version {
                Ok(version) => version.clone(),
                Err(why) => format!("missing: {why}"),
            })
            .filter(|version| !version.is_empty())
            .collect();
        versions.sort_unstable();
        versions.dedup();
        writeln!(page, "- {}\n", versions.join(", "))
    }

    fn rates(&self, page: &mut String, mix: Mix) -> std::fmt::Result {
        let rounds = self.rounds.iter().filter(|round| round.mix == mix);
        let what = match mix {
            Mix::Short => "short connections",
            Mix::Mixed => "short connections, refused ones, and long ones that exchange data",
        };
        writeln!(page, "## Connections a second: {what}\n")?;
        let niceness = if self.nice == 0 { String::new() } else { format!(", at niceness {}", self.nice) };
        writeln!(page, "{} rounds of {} s a tool{niceness}.\n", rounds.count(), self.seconds)?;
        writeln!(page, "| | connections/s | of bare | events lost |")?;
        writeln!(page, "| --- | --- | --- | --- |")?;
        for (tool, figures) in self.figures_of(mix) {
            if let (None, Some(why)) = (&figures.rate, &figures.did_not_run) {
                writeln!(page, "| {} | did not run: {} | | |", tool.title(), cell(why))?;
                continue;
            }
            let of_bare = if tool == Tool::Bare { "1".to_owned() } else { spread(figures.of_bare, 2) };
            let lost = if tool.is_bare() { String::new() } else { number(figures.lost) };
            writeln!(page, "| {} | {} | {of_bare} | {lost} |", tool.title(), spread(figures.rate, 0))?;
        }
        writeln!(page)
    }

    fn tools(&self, page: &mut String, mix: Mix) -> std::fmt::Result {
        writeln!(page, "What the tools themselves took under this load, all their threads:\n")?;
        writeln!(
            page,
            "| | processor time for a million changes of state | in user space | for an event | peak memory | bytes recorded for an event | start to ready |"
        )?;
        writeln!(page, "| --- | --- | --- | --- | --- | --- | --- |")?;
        for (tool, figures) in self.figures_of(mix).filter(|(tool, figures)| !tool.is_bare() && figures.rate.is_some())
        {
            writeln!(
                page,
                "| {} | {} | {} | {} | {} | {} | {} |",
                tool.title(),
                with(spread(figures.cpu_per_million_changes, 2), "s"),
                figures.user_share.map_or(String::new(), |share| format!("{:.0} %", share.median * 100.0)),
                with(spread(figures.cpu_us_per_event, 2), "µs"),
                figures.peak_memory.map_or(String::new(), |memory| format!("{:.1} MB", memory.most / 1e6)),
                spread(figures.bytes_per_event, 1),
                with(spread(figures.ready_ms, 0), "ms")
            )?;
        }
        writeln!(page)
    }

    fn kernel(&self, page: &mut String) -> std::fmt::Result {
        page.write_str(KERNEL)?;
        writeln!(
            page,
            "| load | | at a change of state | less the counting | with its other programs, for a change of state | for a connection |"
        )?;
        writeln!(page, "| --- | --- | --- | --- | --- | --- |")?;
        for cost in &self.kernel {
            let title = title(cost.tool);
            let load = cost.mix.name();
            if let Some(why) = &cost.did_not_run {
                writeln!(page, "| {load} | {title} | did not run: {} | | | |", cell(why))?;
                continue;
            }
            let figures = [cost.ns_per_change, cost.ns_per_change_uncounted, cost.ns_per_change_in_all];
            let [change, uncounted, all] = figures.map(|ns| with(spread(ns, 0), "ns"));
            let connection = cost.ns_per_connection.map_or(String::new(), |ns| format!("{:.1} µs", ns.median / 1e3));
            writeln!(page, "| {load} | {title} | {change} | {uncounted} | {all} | {connection} |")?;
        }
        let part = |of: fn(&KernelCost) -> Option<Spread>| {
            let median = |tool: Tool| {
                let cost = self.kernel.iter().find(|cost| cost.tool == tool.name() && cost.mix == Mix::Short)?;
                Some(of(cost)?.median)
            };
            Some(median(Tool::TcpStates)? / median(Tool::Record)?)
        };
        if let (Some(uncounted), Some(counted)) =
            (part(|cost| cost.ns_per_change_uncounted), part(|cost| cost.ns_per_change))
        {
            writeln!(
                page,
                "\nUnder the load of short connections a change of state takes `sockwatch record` 1/{uncounted:.1} of what it takes \
                 `tcpstates`; with the counting, 1/{counted:.1}."
            )?;
        }
        writeln!(page, "\nProgram by program, under the load of short connections:\n")?;
        writeln!(page, "| | program | a run | runs for a connection |")?;
        writeln!(page, "| --- | --- | --- | --- |")?;
        for cost in self.kernel.iter().filter(|cost| cost.mix == Mix::Short) {
            for (name, (each, often)) in &cost.programs {
                if often.median < 0.01 {
                    continue;
                }
                let title = title(cost.tool);
                writeln!(
                    page,
                    "| {title} | `{name}` | {} | {:.2} |",
                    with(spread(Some(*each), 0), "ns"),
                    often.median
                )?;
            }
        }
        writeln!(page)
    }

    /// Where the time goes that a short connection takes more beside `record`: both processors are busy all the time.
    fn ledger(&self, page: &mut String) -> std::fmt::Result {
        let figures = |tool| self.figures_of(Mix::Short).find(|(one, _)| *one == tool).map(|(_, figures)| figures);
        let cost = self.kernel.iter().find(|cost| cost.tool == Tool::Record.name() && cost.mix == Mix::Short);
        let (Some(bare), Some(record), Some(cost)) = (figures(Tool::Bare), figures(Tool::Record), cost) else {
            return Ok(());
        };
        let each = |rate: Option<Spread>| Some(self.machine.processors as f64 * 1e6 / rate?.median);
        let (Some(without), Some(ratio)) = (each(bare.rate), record.of_bare) else { return Ok(()) };
        let more = without / ratio.median - without;
        let programs = cost.ns_per_connection.map(|ns| ns.median / 1e3);
        let own = record
            .cpu_per_million_changes
            .zip(cost.changes_per_connection)
            .map(|(seconds, changes)| seconds.median * changes.median);
        let (Some(programs), Some(own)) = (programs, own) else { return Ok(()) };
        page.write_str(LEDGER)?;
        writeln!(page, "| with nothing attached | {without:.1} µs |")?;
        writeln!(page, "| more with `record` | {more:.1} µs |")?;
        writeln!(page, "| of that in its programs, as the kernel counts them | {programs:.1} µs |")?;
        writeln!(page, "| of that in its own threads | {own:.1} µs |")?;
        writeln!(page, "| what is left | {:.1} µs |\n", more - programs - own)
    }

    /// Whether the machine had nothing else to do.
    fn quiet(&self, page: &mut String) -> std::fmt::Result {
        let cells =
            || self.rounds.iter().flat_map(|round| &round.entries).filter_map(|entry| entry.measured.as_ref().ok());
        let of = |share: &dyn Fn(&super::rounds::Cell) -> f64| Spread::of(cells().map(share));
        let percent = |spread: Option<Spread>| {
            spread.map_or_else(
                || "unknown".to_owned(),
                |spread| {
                    format!(
                        "{:.1} % ({:.1} to {:.1})",
                        spread.median * 100.0,
                        spread.least * 100.0,
                        spread.most * 100.0
                    )
                },
            )
        };
        writeln!(page, "## Was the machine quiet?\n")?;
        writeln!(
            page,
            "Of the processors' time during the measurements: idle {}; taken by other processes {}; taken by the hypervisor {}. Load averages before the rounds: {}.",
            percent(of(&|cell| cell.idle)),
            percent(of(&|cell| cell.others)),
            percent(of(&|cell| cell.stolen)),
            self.rounds
                .iter()
                .map(|round| round.load_average.split(' ').next().unwrap_or_default())
                .collect::<Vec<_>>()
                .join(", ")
        )?;
        let disturbed = cells().filter(|cell| cell.others > DISTURBED).count();
        if disturbed > 0 {
            writeln!(
                page,
                "\n**In {disturbed} of {} measurements other processes took more than {:.0} %: the machine was busy, and the spread is wider for it.**",
                cells().count(),
                DISTURBED * 100.0
            )?;
        }
        let traced = cells().filter(|cell| !cell.attached.is_empty()).count();
        if traced > 0 {
            writeln!(
                page,
                "\n**In {traced} of {} measurements other processes had programs attached to the kernel: what is called bare \
                 there is not.**",
                cells().count()
            )?;
        }
        writeln!(page)
    }

    fn figures_of(&self, mix: Mix) -> impl Iterator<Item = (Tool, &Figures)> {
        let of_mix = self.figures.iter().filter(move |figures| figures.mix == mix);
        of_mix.filter_map(|figures| Some((Tool::ALL.into_iter().find(|tool| tool.name() == figures.tool)?, figures)))
    }
}

/// What was measured without a kernel.
pub(crate) fn offline(measured: &Offline) -> String {
    let Offline { speed, scale } = measured;
    let mut page = "## Without a kernel\n\nOn one processor, of events that a program makes up (`sockwatch/benches`): \
                    short connections of which both ends are on the host.\n\n| | an event | events a second |\n| --- | --- | \
                    --- |\n"
        .to_owned();
    for Speed { name, ns, from, to } in speed {
        let rate = grouped(&format!("{:.0}", 1e9 / ns));
        page.push_str(&format!("| {name} | {ns:.1} ns ({from:.1} to {to:.1}) | {rate} |\n"));
    }
    page.push_str(
        "\nMany open sockets, both ends of connections, and how they come to be known by replaying a recording:\n\n",
    );
    for line in scale {
        let fields = line.as_object().into_iter().flatten();
        let text: Vec<String> =
            fields.map(|(name, value)| format!("{} {}", name.replace('_', " "), plain(value))).collect();
        page.push_str(&format!("- {}\n", text.join(", ")));
    }
    page.push('\n');
    page
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| grouped(&value.to_string()), str::to_owned)
}

fn title(name: &str) -> &str {
    Tool::ALL.into_iter().find(|tool| tool.name() == name).map_or(name, |tool| tool.title())
}

/// `12,345 (11,000 to 13,000)`; nothing if it was not measured.
fn spread(spread: Option<Spread>, digits: usize) -> String {
    let Some(Spread { median, least, most, runs }) = spread else { return String::new() };
    let one = |number: f64| grouped(&format!("{number:.digits$}"));
    if runs == 1 { one(median) } else { format!("{} ({} to {})", one(median), one(least), one(most)) }
}

/// With its unit behind the median.
fn with(text: String, unit: &str) -> String {
    match text.split_once(' ') {
        Some((median, rest)) => format!("{median} {unit} {rest}"),
        None if text.is_empty() => text,
        None => format!("{text} {unit}"),
    }
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "not known".to_owned(), |number| grouped(&number.to_string()))
}

/// Digits in groups of three.
fn grouped(number: &str) -> String {
    let (whole, rest) = number.split_once('.').map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let mut text = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    rest.map_or(text.clone(), |rest| format!("{text}.{rest}"))
}

/// What another program said, in a cell of a table.
fn cell(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() || letter == '|' { ' ' } else { letter }).take(200).collect()
}

const HEAD: &str = "\
# What sockwatch costs

Written by `cargo xtask bench`, as root; [benchmarks.json](benchmarks.json) has every single measurement.

Connections are made on loopback, in a network namespace of their own, by two processes for each processor, and taken by one
process for each; every connection is counted by who made it, and a run counts only if the kernel's own counters
(TcpActiveOpens, TcpPassiveOpens, TcpAttemptFails) say the very same. Each round runs every tool once under the same load, in
another order each time, and nothing before and after each: a ratio is that of a tool's rate to the mean of those two. What
stands here are medians; in parentheses, the least and the most of all rounds. `nothing attached, again` is compared as if it
were a tool: how far that ratio is from 1 is how far the others can be trusted. Losses are `not known` of a tool that does not
count them, or that said in one of the rounds that something is missing, but not how much.

";

const KERNEL: &str = "\
## In the kernel

What the kernel counts of the programs that the tools have in it (`kernel.bpf_stats_enabled`), in runs of their own: counting
costs time. A program's time includes the waking of its reader where it wakes it. What the counting itself takes is what it finds of a
program that does nothing, at the same changes of state; a tool with two programs there is counted twice. Where nobody counts, it is
not there.

";

const LEDGER: &str = "\
## Where the time of a connection goes

Processor time for one short connection, both ends of it. What is left is around the programs and caused by them: entering and
leaving them, the slow path of the load's system calls where those are seen by tracepoints (about 90 ns each), socket storage that
the kernel makes and frees with each accepted socket, and caches that now hold more.

| | |
| --- | --- |
";

const TAIL: &str = "\
## What this does not measure

- Other machines. The more a connection costs without a tool, the less a tool takes of it: on real networks, with TLS, with
  work done for each request, the ratios are nearer to 1.
- System calls that are no bind, listen, connect or accept: while sockwatch runs, each takes about 90 ns longer. Those of the
  load are in its rates; a host that makes millions of others a second pays for them too.
- What the kernel does around a program (saving registers, the trampoline) is in the rates, not in the program's time.
- Latency of single connections; memory of the kernel (maps, socket storage); power.
- Peers with other options, or other versions, than those named above. strace shows calls, not sockets: it is there for scale.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_have_their_spread() {
        assert_eq!(grouped("1234567.89"), "1,234,567.89");
        assert_eq!(grouped("123"), "123");
        let measured = Spread::of([1000.0, 2000.0, 3000.0]);
        assert_eq!(spread(measured, 0), "2,000 (1,000 to 3,000)");
        assert_eq!(with(spread(measured, 0), "ns"), "2,000 ns (1,000 to 3,000)");
        assert_eq!(with(spread(Spread::of([0.5]), 1), "s"), "0.5 s");
        assert_eq!(with(spread(None, 1), "s"), "");
    }

    #[test]
    fn what_another_program_said_stays_in_its_cell() {
        assert_eq!(cell("a|b\nc\u{1b}[31m"), "a b c [31m");
    }
}
