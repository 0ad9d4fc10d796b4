//! The law of conservation: what sockwatch received and what it says is lost are together what the kernel says that its programs
//! ran for, or were skipped for. Whatever slows it down, and however little room it has.

use std::{
    collections::BTreeMap,
    io,
    process::{Command, Stdio},
    thread,
};

use nix::sys::signal::Signal;

use crate::support::{Actor, Ending, Host, Load, Netns, Scratch, Trace, scaled, sockwatch};

/// The first programs of the tracepoints, by as much of their names as the kernel keeps, of which each run is one event.
const TRACEPOINTS: [&str; 6] =
    ["inet_sock_set_s", "tcp_destroy_soc", "tcp_retransmit_", "tcp_send_reset", "tcp_receive_res", "sched_process_e"];

/// Programs on system calls that are no events of their own here: each that was skipped is one that was lost all the same.
const SILENT: [&str; 5] =
    ["sys_enter_bind", "sys_enter_liste", "sys_enter_conne", "sys_exit_connec", "sys_enter_accep"];

/// Of tcp_send_reset: a reset that is no event, for it answers a segment that met no socket, or what is left of one (TIME_WAIT),
/// or what is to become one (NEW_SYN_RECV). It comes where a connection is reset before all of its acknowledgements arrived.
const NO_SOCKET: &str = "skaddr == 0 || state == 6 || state == 12";

/// What the kernel counts of a run's programs.
struct Kernel {
    reader: Actor,
}

impl Kernel {
    fn counting() -> Self {
        let reader = Actor::start();
        reader.tell("import programs; counting = programs.count_runs()");
        reader.tell(&format!("unasked = programs.count_events('tcp/tcp_send_reset', '{NO_SOCKET}')"));
        Self { reader }
    }

    /// How many events there were for the programs of a sockwatch, under a load that has ended, beside the calls that succeeded.
    fn events(&self, trace: &Trace, load: &Load) -> u64 {
        let mut of: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let all: Vec<(String, u64, u64)> = self.reader.ask(&format!("programs.programs({})", trace.pid()));
        for (name, runs, misses) in all {
            // Of programs whose names begin alike the first is the one that the others stand in for.
            of.entry(name).or_insert((runs, misses));
        }
        let get = |name: &str| *of.get(name).unwrap_or_else(|| panic!("no program {name} among {of:?}"));
        let changes: u64 = TRACEPOINTS.iter().map(|name| get(name)).map(|(runs, misses)| runs + misses).sum();
        let silent: u64 = SILENT.iter().map(|name| get(name).1).sum();
        let unasked: u64 = self.reader.ask("programs.counted(unasked)");
        // Each pair has a listener, which is bound.
        changes + silent - unasked + u64::from(load.connections + 2 * load.pairs)
    }
}

/// What sockwatch says last: "sockwatch: 31181 events, 4801 sockets; 228 events lost (…)", or "…, none lost", or that some are
/// incomplete.
fn received_and_lost(stderr: &[String]) -> Option<(u64, u64)> {
    let line =
        stderr.iter().find_map(|line| line.strip_prefix("sockwatch: ").filter(|line| line.contains(" events, ")))?;
    let number = |text: &str| text.split(' ').next()?.parse().ok();
    let lost = if line.contains(" events lost") { number(line.split_once("; ")?.1)? } else { 0 };
    Some((number(line)?, lost))
}

/// A sockwatch with a load beside it, and what is done to it before and after that. Returns how much was lost.
fn conserved(
    netns: &Netns,
    load: &Load,
    start: impl FnOnce() -> Trace,
    before: impl FnOnce(&Trace),
    after: impl FnOnce(&Trace),
) -> u64 {
    let kernel = Kernel::counting();
    let trace = start();
    before(&trace);
    load.run(netns);
    let happened = kernel.events(&trace, load);
    after(&trace);
    trace.signal(Signal::SIGINT);
    let ended = trace.end();
    let Some((received, lost)) = received_and_lost(&ended.stderr) else { panic!("{:?}", ended.stderr) };
    assert_eq!(received + lost, happened, "{received} received, {lost} lost");
    assert!(lost == 0 || ended.code() == 3, "{lost} lost, exit code {}", ended.code());
    lost
}

fn load(connections: u32, pairs: u32) -> Load {
    Load { connections: scaled(connections), pairs, ending: Ending::Reset }
}

/// Its programs are known by what they are: those of system calls are tracepoints', which every kernel has.
fn record(to: &str, more: &[&str]) -> Command {
    let mut command = sockwatch(&["record", "--probes", "tracepoints", "-o", to]);
    command.args(more);
    command
}

#[test]
fn of_a_flood_all_is_received_or_told_as_lost() {
    let Some(host) = Host::alone() else { return };
    let scratch = Scratch::new("conserved");
    let file = scratch.path().join("file.sw").display().to_string();
    conserved(&host.netns(), &load(20_000, 2), || Trace::ready(&mut record(&file, &[])), |_| (), |_| ());
}

#[test]
fn with_a_ring_of_one_page_what_does_not_fit_is_told_as_lost() {
    let Some(host) = Host::alone() else { return };
    let scratch = Scratch::new("page");
    let file = scratch.path().join("file.sw").display().to_string();
    let start = || Trace::ready(&mut record(&file, &["--buffer", "4096"]));
    assert!(conserved(&host.netns(), &load(10_000, 2), start, |_| (), |_| ()) > 0);
}

#[test]
fn what_a_reader_that_was_stopped_did_not_come_to_is_told_as_lost() {
    let Some(host) = Host::alone() else { return };
    let scratch = Scratch::new("stopped");
    let file = scratch.path().join("file.sw").display().to_string();
    let start = || Trace::ready(&mut record(&file, &["--buffer", "65536"]));
    let [stop, go_on] = [Signal::SIGSTOP, Signal::SIGCONT].map(|signal| move |trace: &Trace| trace.signal(signal));
    assert!(conserved(&host.netns(), &load(2_000, 2), start, stop, go_on) > 0);
}

#[test]
fn what_a_disk_that_takes_nothing_held_up_is_told_as_lost() {
    let Some(host) = Host::alone() else { return };
    let (mut disk, output) = io::pipe().expect("a pipe");
    let start = || Trace::ready_into(&mut record("-", &["--buffer", "65536"]), Stdio::from(output));
    // Nobody reads until the load is over.
    let drain = move |_: &Trace| {
        thread::spawn(move || io::copy(&mut disk, &mut io::sink()));
    };
    conserved(&host.netns(), &load(20_000, 2), start, |_| (), drain);
}

#[test]
fn what_a_terminal_that_shows_nothing_held_up_is_told_as_lost() {
    let Some(host) = Host::alone() else { return };
    let (mut screen, output) = io::pipe().expect("a pipe");
    let start = || {
        let mut command = sockwatch(&["trace", "--view", "states", "--probes", "tracepoints", "--buffer", "65536"]);
        Trace::ready_into(&mut command, Stdio::from(output))
    };
    let drain = move |_: &Trace| {
        thread::spawn(move || io::copy(&mut screen, &mut io::sink()));
    };
    assert!(conserved(&host.netns(), &load(10_000, 2), start, |_| (), drain) > 0);
}

#[test]
fn where_packets_interrupt_the_programs_all_is_received_or_told_as_lost() {
    let Some(host) = Host::alone() else { return };
    let netns = host.netns();
    netns.write("/sys/class/net/lo/queues/rx-0/rps_cpus", "3");
    let scratch = Scratch::new("steered");
    let file = scratch.path().join("file.sw").display().to_string();
    conserved(&netns, &load(20_000, 2), || Trace::ready(&mut record(&file, &[])), |_| (), |_| ());
}
