//! The load: connections on loopback, in a network namespace of their own, made and counted by several processes.
//!
//! The program starts itself again: as a *host* in a new network namespace, which starts *servers* and *clients*, tells them
//! when to begin, and compares what the clients counted with what the kernel did.

mod client;
mod counters;
mod host;
mod server;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
pub(crate) use counters::Counters;
use serde::{Deserialize, Serialize};

use super::command::{alone, dies_with_us};

/// What the clients do, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mix {
    /// Connect, and end at once: half of them IPv4, half IPv6; half closed first by the client, half by the server; half of
    /// each by FIN, half by reset.
    Short,
    /// Such connections, and to every eight of them two that are refused, and 32 exchanges of 512 bytes each way over
    /// connections that stay.
    Mixed,
}

impl Mix {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Mixed => "mixed",
        }
    }
}

/// What the clients are asked for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Order {
    mix: Mix,
    milliseconds: u64,
}

/// Who is there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Staff {
    /// Process ids.
    pub(crate) servers: Vec<u32>,
    pub(crate) clients: Vec<u32>,
}

/// What clients counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counted {
    /// Connections that were established.
    pub(crate) connected: u64,
    /// Connects that were refused.
    pub(crate) refused: u64,
    /// Requests that were answered.
    pub(crate) exchanged: u64,
    /// Of all clients together, each by its own time: connections a second.
    pub(crate) rate: f64,
    /// How long it took, the longest of the clients.
    pub(crate) seconds: f64,
}

/// What came of an order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) counted: Counted,
    /// What the kernel counted meanwhile, in the network namespace of the load.
    pub(crate) kernel: Counters,
}

impl Outcome {
    /// That the clients and the kernel agree.
    pub(crate) fn check(&self) -> Result<()> {
        let Self { counted: Counted { connected, refused, .. }, kernel } = self;
        let opened = connected + refused;
        ensure!(
            (kernel.active_opens, kernel.passive_opens, kernel.attempts_failed) == (opened, *connected, *refused),
            "the clients counted {connected} connections and {refused} refused, the kernel {} opened, {} taken and {} \
             that failed",
            kernel.active_opens,
            kernel.passive_opens,
            kernel.attempts_failed
        );
        Ok(())
    }
}

/// Arguments of the processes of the load.
#[derive(clap::Args)]
pub(crate) struct Options {
    role: Part,
    /// Which of its kind.
    #[arg(long, default_value_t = 0)]
    number: u16,
    /// How many servers there are.
    #[arg(long, default_value_t = 1)]
    servers: u16,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    Host,
    Server,
    Client,
}

/// Is one of these processes, until standard input ends.
pub(crate) fn play(options: &Options) -> Result<()> {
    let Options { role, number, servers } = options;
    match role {
        Part::Host => host::host(*servers),
        Part::Server => server::serve(*number),
        Part::Client => client::connect(*number % *servers),
    }
}

/// One of the processes of the load, as its parent holds it. It ends when it is dropped.
struct Hand {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Hand {
    fn start(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", crate::command::shown(&command)))?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("a pipe is missing")?);
        Ok(Self { child, orders, answers })
    }

    /// This program again, in another role.
    fn own(role: &str, number: u16, servers: u16) -> Result<Command> {
        let mut command = dies_with_us();
        command.arg(env::current_exe().context("this program can't be found")?);
        command.args(["bench-load", role, "--number", &number.to_string(), "--servers", &servers.to_string()]);
        Ok(command)
    }

    fn tell(&mut self, order: &impl Serialize) -> Result<()> {
        let orders = self.orders.as_mut().context("it was ended")?;
        writeln!(orders, "{}", serde_json::to_string(order)?).context("a process of the load is gone")
    }

    fn hear<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "a process of the load ended early");
        serde_json::from_str(&line).with_context(|| format!("a process of the load said: {}", line.trim()))
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        // It ends when there are no more orders.
        self.orders = None;
        for _ in 0..100 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The load, ready to begin.
pub(crate) struct Load {
    host: Hand,
    pub(crate) staff: Staff,
}

impl Load {
    /// Starts its processes, one server and two clients for each processor.
    pub(crate) fn start(processors: usize) -> Result<Self> {
        let servers = u16::try_from(processors).context("so many processors?")?;
        let own = Hand::own("host", 0, servers)?;
        let mut host = Hand::start(alone(&["--net"], &own)).context("cannot start the load")?;
        let staff = host.hear().context("the load did not start")?;
        Ok(Self { host, staff })
    }

    /// Has the clients work for a while.
    pub(crate) fn run(&mut self, mix: Mix, length: Duration) -> Result<Outcome> {
        let milliseconds = u64::try_from(length.as_millis())?;
        if milliseconds == 0 {
            bail!("a load of no length");
        }
        self.host.tell(&Order { mix, milliseconds })?;
        self.host.hear()
    }

    /// That it is still there.
    pub(crate) fn check(&mut self) -> Result<()> {
        let ended = self.host.child.try_wait()?;
        ensure!(ended.is_none(), "the load ended early");
        Ok(())
    }

    /// All its processes.
    pub(crate) fn pids(&self) -> impl Iterator<Item = u32> {
        self.staff.clients.iter().chain(&self.staff.servers).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_the_kernel_did_not_count_is_an_error() {
        let counted = Counted { connected: 100, refused: 7, ..Counted::default() };
        let kernel = Counters { active_opens: 107, passive_opens: 100, attempts_failed: 7, ..Counters::default() };
        let outcome = Outcome { counted, kernel };
        outcome.check().unwrap();
        let missing = Outcome { kernel: Counters { passive_opens: 99, ..kernel }, ..outcome };
        assert!(missing.check().unwrap_err().to_string().contains("99 taken"));
    }
}
