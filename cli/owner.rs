//! The owner of a socket or a file. Only this user and root are trusted without being named.

use std::fs::Metadata;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;

use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{Uid, User, geteuid};

/// A user's name, or the user ID if there is none.
pub fn name(user: Uid) -> String {
    let found = User::from_uid(user).ok().flatten();
    found.map_or_else(|| format!("user {user}"), |user| user.name)
}

/// Who, other than this user and root, may write to a file.
pub fn other_writers(file: &Metadata) -> Option<String> {
    const GROUP: u32 = 0o020;
    const OTHERS: u32 = 0o002;
    let owner = Uid::from_raw(file.uid());
    if owner != geteuid() && !owner.is_root() {
        Some(format!("its owner {}", name(owner)))
    } else if file.mode() & OTHERS != 0 {
        Some("everybody".to_owned())
    } else if file.mode() & GROUP != 0 {
        Some("its group".to_owned())
    } else {
        None
    }
}

/// The user and process at the other end of a Unix socket. For a client on Linux, the process that
/// called `listen(2)` (`unix(7)`, `SO_PEERCRED`).
#[cfg(target_os = "linux")]
pub fn of_peer(socket: &impl AsFd) -> Option<(Uid, Option<i32>)> {
    let facts = getsockopt(socket, sockopt::PeerCredentials).ok()?;
    Some((Uid::from_raw(facts.uid()), Some(facts.pid())))
}

/// The same (`getpeereid(3)`, `LOCAL_PEERPID` in `unix(4)`).
#[cfg(target_os = "macos")]
pub fn of_peer(socket: &impl AsFd) -> Option<(Uid, Option<i32>)> {
    let (user, _) = nix::unistd::getpeereid(socket).ok()?;
    Some((user, getsockopt(socket, sockopt::LocalPeerPid).ok()))
}

/// The user who listens at a TCP port of this machine (`proc_net_tcp`, kernel documentation).
/// `None` if nobody does, or if a connection may reach more than one user.
#[cfg(target_os = "linux")]
pub fn of_listener(address: SocketAddr) -> Option<Uid> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let lines = tables.iter().flat_map(|table| table.lines());
    let mut owners = lines.filter_map(|line| listener(line, address));
    let owner = owners.next()?;
    owners.all(|other| other == owner).then_some(owner)
}

/// `None`: macOS does not show other users' sockets.
#[cfg(target_os = "macos")]
pub fn of_listener(_address: SocketAddr) -> Option<Uid> {
    None
}

/// The owner in a line of the table, if it is a listening socket that accepts connections to
/// `wanted`.
#[cfg(any(test, target_os = "linux"))]
fn listener(line: &str, wanted: SocketAddr) -> Option<Uid> {
    /// `TCP_LISTEN` (`include/net/tcp_states.h`)
    const LISTENS: &str = "0A";
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, local, _, LISTENS, _, _, _, owner, ..] = fields[..] else {
        return None;
    };
    let (address, port) = local.split_once(':')?;
    let is_there = u16::from_str_radix(port, 16) == Ok(wanted.port());
    (is_there && takes(address, wanted.ip())).then(|| owner.parse().ok().map(Uid::from_raw))?
}

/// Whether a socket bound to `address` accepts connections to `wanted`: bound to it or to all
/// addresses. An IPv6 socket may accept IPv4 connections too.
#[cfg(any(test, target_os = "linux"))]
fn takes(address: &str, wanted: std::net::IpAddr) -> bool {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    // Each word is in host byte order, made of bytes in network order.
    let word = |at: usize| {
        let digits = address.get(8 * at..8 * (at + 1))?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let bound = match address.len() {
        8 => word(0).map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes))),
        32 => [word(0), word(1), word(2), word(3)]
            .into_iter()
            .collect::<Option<Vec<_>>>()
            .and_then(|words| {
                let bytes: [u8; 16] = words.concat().try_into().ok()?;
                Some(Ipv6Addr::from(bytes).to_canonical())
            }),
        _ => None,
    };
    bound.is_some_and(|bound| {
        bound == wanted || (bound.is_unspecified() && (wanted.is_ipv4() || bound.is_ipv6()))
    })
}

#[cfg(test)]
mod tests {
    use super::{Uid, listener};

    #[cfg(target_endian = "little")]
    #[test]
    fn the_owner_of_a_listener_stands_in_its_line() {
        let line = |local: &str, state: &str| {
            format!(
                "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  \
                 1001        0 8812 1 0000000000000000 100 0 0 10 0"
            )
        };
        let (v4, v6) = ("127.0.0.1:19090", "[::1]:19090");
        let any6 = "00000000000000000000000000000000";
        let one6 = "00000000000000000000000001000000";
        let mapped = "0000000000000000FFFF00000100007F";
        for (local, state, wanted, found) in [
            ("0100007F:4A92", "0A", v4, true),
            ("00000000:4A92", "0A", v4, true),
            (&format!("{any6}:4A92"), "0A", v4, true),
            (&format!("{mapped}:4A92"), "0A", v4, true),
            (&format!("{one6}:4A92"), "0A", v6, true),
            (&format!("{any6}:4A92"), "0A", v6, true),
            // Another port, another address, another family, not listening, and malformed.
            ("0100007F:4A93", "0A", v4, false),
            ("0200007F:4A92", "0A", v4, false),
            (&format!("{one6}:4A92"), "0A", v4, false),
            ("00000000:4A92", "0A", v6, false),
            ("0100007F:4A92", "01", v4, false),
            ("0100007F", "0A", v4, false),
            ("\u{e9}100007:4A92", "0A", v4, false),
        ] {
            let owner = listener(&line(local, state), wanted.parse().unwrap());
            assert_eq!(owner, found.then(|| Uid::from_raw(1001)), "{local} {state} {wanted}");
        }
        assert_eq!(listener("  sl  local_address rem_address   st", v4.parse().unwrap()), None);
    }
}
