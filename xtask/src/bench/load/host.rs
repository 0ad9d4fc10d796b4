//! The host: the processes of the load, in a network namespace of their own.

use std::fs;
use std::io::{self, BufRead};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::counters::Counters;
use super::{Counted, Hand, Order, Outcome, Staff};
use crate::command::run;

/// Settings of the namespace, so that every run finds the same: ports enough, and as many timewait sockets as there are
/// after the first seconds.
const SETTINGS: [(&str, &str); 3] =
    [("ip_local_port_range", "10000 65000"), ("tcp_max_tw_buckets", "16384"), ("tcp_tw_reuse", "1")];

/// Passes on orders until standard input ends.
pub(super) fn host(servers: u16) -> Result<()> {
    run(Command::new("ip").args(["link", "set", "lo", "up"])).context("loopback can't be brought up")?;
    for (name, value) in SETTINGS {
        let setting = format!("/proc/sys/net/ipv4/{name}");
        fs::write(&setting, value).with_context(|| format!("can't set {setting}"))?;
    }
    let mut staff = Staff::default();
    let mut hands = Vec::new();
    for number in 0..servers {
        let mut server = Hand::start(Hand::own("server", number, servers)?)?;
        staff.servers.push(server.hear()?);
        hands.push(server);
    }
    let mut clients = Vec::new();
    for number in 0..2 * servers {
        let mut client = Hand::start(Hand::own("client", number, servers)?)?;
        staff.clients.push(client.hear()?);
        clients.push(client);
    }
    println!("{}", serde_json::to_string(&staff)?);
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let before = Counters::now()?;
        for client in &mut clients {
            client.tell(&order)?;
        }
        let mut counted = Counted::default();
        for client in &mut clients {
            let Counted { connected, refused, exchanged, rate, seconds } = client.hear()?;
            counted.connected += connected;
            counted.refused += refused;
            counted.exchanged += exchanged;
            counted.rate += rate;
            counted.seconds = counted.seconds.max(seconds);
        }
        // A connection that a client has may still be on its way to the server's side for a moment.
        std::thread::sleep(Duration::from_millis(20));
        let kernel = Counters::now()?.since(before);
        println!("{}", serde_json::to_string(&Outcome { counted, kernel })?);
    }
    Ok(())
}
