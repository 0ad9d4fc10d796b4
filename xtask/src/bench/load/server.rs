//! A server: takes connections and ends them, as the port that they came to says.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};

/// Longest accept queue: no more clients than that.
const BACKLOG: i32 = 1024;

/// What a server does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// The client ends it first.
    ClientFirst,
    /// The server ends it first, in turn by FIN and by a reset.
    ServerFirst,
    /// The server sends back what it gets, until the client ends it.
    Echo,
}

/// One of the two loopback addresses.
pub(super) const FAMILIES: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Where a server listens. Nobody else is in this network namespace.
pub(super) fn address(server: u16, door: Door, family: IpAddr) -> SocketAddr {
    SocketAddr::new(family, 9000 + 10 * server + door as u16)
}

/// A socket of TCP.
pub(super) fn socket(family: IpAddr) -> io::Result<Socket> {
    let domain = if family.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    Socket::new(domain, Type::STREAM, None)
}

/// Ends a connection: by a reset where that is wanted, else by FIN.
pub(super) fn end(socket: Socket, by_reset: bool) -> io::Result<()> {
    if by_reset {
        socket.set_linger(Some(Duration::ZERO))?;
    }
    drop(socket);
    Ok(())
}

/// Serves until standard input ends.
pub(super) fn serve(number: u16) -> Result<()> {
    for door in [Door::ClientFirst, Door::ServerFirst, Door::Echo] {
        for family in FAMILIES {
            let at = address(number, door, family);
            let listener = socket(family)?;
            listener.set_reuse_address(true)?;
            listener.bind(&at.into()).with_context(|| format!("can't bind {at}"))?;
            listener.listen(BACKLOG)?;
            thread::spawn(move || attend(&listener, door));
        }
    }
    println!("{}", serde_json::to_string(&std::process::id())?);
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn attend(listener: &Socket, door: Door) {
    let mut by_reset = false;
    loop {
        // A client that resets before it is accepted is accepted all the same, or was never there.
        let Ok((connection, _)) = listener.accept() else { continue };
        let served = match door {
            Door::ClientFirst => wait_for_end(&connection),
            Door::ServerFirst => {
                by_reset = !by_reset;
                end(connection, by_reset)
            }
            Door::Echo => {
                thread::spawn(move || echo(&connection));
                Ok(())
            }
        };
        if let Err(error) = served {
            eprintln!("xtask: bench-load: a server failed: {error}");
        }
    }
}

/// Reads until the other side has ended it, by FIN or by reset. That of a reset may have been told by connect() already.
pub(super) fn wait_for_end(mut connection: &Socket) -> io::Result<()> {
    let mut room = [0; 64];
    loop {
        match connection.read(&mut room) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::NotConnected) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
}

fn echo(mut connection: &Socket) {
    let mut room = [0; 512];
    while let Ok(length @ 1..) = connection.read(&mut room) {
        if connection.write_all(&room[..length]).is_err() {
            break;
        }
    }
}
