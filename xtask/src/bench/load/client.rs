//! A client: connects as fast as it can, and counts.

use std::io::{self, BufRead, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use socket2::{SockAddr, Socket};

use super::server::{Door, FAMILIES, address, end, socket, wait_for_end};
use super::{Counted, Mix, Order};

/// A port that nobody listens on.
const NOBODY: u16 = 9;

/// Connections that stay, of each client and family.
const LONG: usize = 4;

/// Bytes of a request, and of its answer.
const MESSAGE: usize = 512;

/// How many requests are sent one after the other.
const EXCHANGES: usize = 8;

/// Works whenever it is told to.
pub(super) fn connect(server: u16) -> Result<()> {
    println!("{}", serde_json::to_string(&std::process::id())?);
    for line in io::stdin().lock().lines() {
        let Order { mix, milliseconds } = serde_json::from_str(&line?)?;
        let counted = work(server, mix, Duration::from_millis(milliseconds))?;
        println!("{}", serde_json::to_string(&counted)?);
    }
    Ok(())
}

/// Where this client connects to.
struct Doors {
    short: Vec<(IpAddr, Door, SockAddr)>,
    nobody: Vec<(IpAddr, SockAddr)>,
}

fn work(server: u16, mix: Mix, length: Duration) -> Result<Counted> {
    let doors = [Door::ClientFirst, Door::ServerFirst];
    let short = doors
        .into_iter()
        .flat_map(|door| FAMILIES.map(|family| (family, door, SockAddr::from(address(server, door, family)))));
    let doors = Doors {
        short: short.collect(),
        nobody: FAMILIES.map(|family| (family, SockAddr::from(SocketAddr::new(family, NOBODY)))).into(),
    };
    let mut counted = Counted::default();
    let started = Instant::now();
    let mut long = Vec::new();
    if mix == Mix::Mixed {
        for family in FAMILIES.into_iter().cycle().take(2 * LONG) {
            long.push(open(family, &address(server, Door::Echo, family).into(), &mut counted)?);
        }
    }
    let mut turn = 0_usize;
    while started.elapsed() < length {
        // By FIN, then by reset: a server does so by itself.
        for by_reset in [false, true] {
            for (family, door, at) in &doors.short {
                let connection = open(*family, at, &mut counted)?;
                if *door == Door::ServerFirst {
                    wait_for_end(&connection)?;
                }
                end(connection, by_reset && *door == Door::ClientFirst)?;
            }
        }
        if mix == Mix::Mixed {
            for (family, at) in &doors.nobody {
                refused(*family, at)?;
                counted.refused += 1;
            }
            for _ in 0..4 {
                turn += 1;
                exchange(&long[turn % long.len()])?;
                counted.exchanged += EXCHANGES as u64;
            }
        }
    }
    drop(long);
    counted.seconds = started.elapsed().as_secs_f64();
    counted.rate = counted.connected as f64 / counted.seconds;
    Ok(counted)
}

/// Connects. A server may have reset the connection before connect() returns: it was one all the same.
fn open(family: IpAddr, at: &SockAddr, counted: &mut Counted) -> Result<Socket> {
    let socket = socket(family)?;
    match socket.connect(at) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) => return Err(error).context("a connect failed"),
    }
    counted.connected += 1;
    Ok(socket)
}

fn refused(family: IpAddr, at: &SockAddr) -> Result<()> {
    match socket(family)?.connect(at) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error).context("a connect to nobody was to be refused"),
        Ok(()) => bail!("a connect to nobody was to be refused, and somebody was there"),
    }
}

/// Requests and answers.
fn exchange(mut connection: &Socket) -> Result<()> {
    let mut message = [7; MESSAGE];
    for _ in 0..EXCHANGES {
        connection.write_all(&message)?;
        connection.read_exact(&mut message)?;
    }
    Ok(())
}
