//! Listening sockets, one a thread on the same port, and the question whether somebody else has the port.
//!
//! Read next: `../engine.rs`, `../thread/accepting.rs`.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, ToSocketAddrs};

use mio::net::TcpListener;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for a thread that is busy.
const BACKLOG: i32 = 4096;

/// Sockets for `threads` threads: for each thread one per address of the host. All have the same port, which is returned.
pub(crate) fn bind(host: &str, port: u16, threads: usize, shared: bool) -> io::Result<(Vec<Vec<TcpListener>>, u16)> {
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    addresses.dedup();
    let mut port = port;
    let mut all: Vec<Vec<TcpListener>> = (0..threads).map(|_| Vec::new()).collect();
    for mut address in addresses {
        address.set_port(port);
        if !shared {
            // Without SO_REUSEPORT on our side the kernel names every other owner of the port.
            address = probe(address)?;
        }
        for sockets in &mut all {
            let socket = reusable(address)?;
            address = socket.local_addr()?;
            sockets.push(TcpListener::from_std(socket));
        }
        port = address.port();
    }
    Ok((all, port))
}

fn probe(address: SocketAddr) -> io::Result<SocketAddr> {
    let socket = prepared(address)?;
    socket.bind(&address.into())?;
    socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a socket without an internet address"))
}

fn reusable(address: SocketAddr) -> io::Result<StdListener> {
    let socket = prepared(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn prepared(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // "::" takes IPv4 too, as people expect of "any address".
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    Ok(socket)
}
