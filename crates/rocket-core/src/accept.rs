//! Take one connection from a listening socket's queue, and learn whose it is.

use std::io;
use std::mem::{self, MaybeUninit, offset_of};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// An address and a port.
    Internet(SocketAddr),
    /// The path of a Unix socket, or an abstract name with the zero byte before it; mostly empty.
    Unix(Box<[u8]>),
    /// Neither.
    Other,
}

/// Take one connection, without waiting: a non-blocking socket, close-on-exec.
///
/// # Errors
/// As of `accept4`, but for interruption: `WouldBlock` when there is none.
pub fn accept(listening: RawFd) -> io::Result<(OwnedFd, Peer)> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    loop {
        // SAFETY: the kernel writes at most `length` bytes of the address, which are there.
        let taken = unsafe {
            libc::accept4(
                listening,
                address.as_mut_ptr().cast(),
                &raw mut length,
                libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            )
        };
        if taken >= 0 {
            // SAFETY: the descriptor is new and ours; the address was zeros before the kernel wrote it, and any
            // bytes are an address.
            return Ok(unsafe { (OwnedFd::from_raw_fd(taken), read_peer(&address.assume_init(), length)) });
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn read_peer(address: &libc::sockaddr_storage, length: libc::socklen_t) -> Peer {
    match libc::c_int::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what it is, and every such address fits into the storage.
            let address: libc::sockaddr_in = unsafe { mem::transmute_copy(address) };
            let host = u32::from_be(address.sin_addr.s_addr).into();
            Peer::Internet(SocketAddrV4::new(host, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address: libc::sockaddr_in6 = unsafe { mem::transmute_copy(address) };
            let host = address.sin6_addr.s6_addr.into();
            let (port, flow) = (u16::from_be(address.sin6_port), u32::from_be(address.sin6_flowinfo));
            Peer::Internet(SocketAddrV6::new(host, port, flow, address.sin6_scope_id).into())
        }
        libc::AF_UNIX => {
            // SAFETY: as above.
            let address: libc::sockaddr_un = unsafe { mem::transmute_copy(address) };
            let path = address.sun_path.map(|byte| byte as u8);
            let length = (length as usize).saturating_sub(offset_of!(libc::sockaddr_un, sun_path));
            let name = &path[..length.min(path.len())];
            let is_abstract = name.first() == Some(&0);
            // The length of a path may include the zero behind it.
            let end = name.iter().position(|byte| *byte == 0).filter(|_| !is_abstract);
            Peer::Unix(name[..end.unwrap_or(name.len())].into())
        }
        _ => Peer::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_connection_is_taken_with_the_name_of_its_peer() {
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listening.local_addr().unwrap()).unwrap();
        let mut queue = libc::pollfd { fd: listening.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the kernel reads and writes one such entry.
        assert_eq!(1, unsafe { libc::poll(&raw mut queue, 1, -1) });
        let (taken, peer) = accept(listening.as_raw_fd()).unwrap();

        assert_eq!(Peer::Internet(client.local_addr().unwrap()), peer);
        // SAFETY: no memory is involved.
        let (flags, kept) = unsafe {
            (libc::fcntl(taken.as_raw_fd(), libc::F_GETFL), libc::fcntl(taken.as_raw_fd(), libc::F_GETFD))
        };
        assert_ne!(0, flags & libc::O_NONBLOCK);
        assert_ne!(0, kept & libc::FD_CLOEXEC);
    }

    #[test]
    fn an_address_of_version_six_has_all_its_parts() {
        // SAFETY: zeros are an address.
        let (mut storage, mut address): (libc::sockaddr_storage, libc::sockaddr_in6) =
            unsafe { mem::zeroed() };
        address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
        address.sin6_port = 443_u16.to_be();
        address.sin6_flowinfo = 7_u32.to_be();
        address.sin6_scope_id = 3;
        address.sin6_addr.s6_addr[15] = 1;
        // SAFETY: the storage has room for every kind of address.
        unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(address) };

        let known = SocketAddrV6::new(std::net::Ipv6Addr::LOCALHOST, 443, 7, 3);
        assert_eq!(Peer::Internet(known.into()), read_peer(&storage, 28));
    }

    #[test]
    fn an_empty_queue_is_not_waited_for() {
        let listening = TcpListener::bind("127.0.0.1:0").unwrap();
        listening.set_nonblocking(true).unwrap();

        assert_eq!(io::ErrorKind::WouldBlock, accept(listening.as_raw_fd()).unwrap_err().kind());
        assert_eq!(Some(libc::EBADF), accept(-1).unwrap_err().raw_os_error());
    }

    #[test]
    fn a_unix_peer_has_a_name_where_it_took_one() {
        let name = format!("rocket-accept-{}", std::process::id());
        let address = UnixAddr::from_abstract_name(&name).unwrap();
        let listening = UnixListener::bind_addr(&address).unwrap();
        let _client = UnixStream::connect_addr(&address).unwrap();

        assert_eq!(Peer::Unix([].into()), accept(listening.as_raw_fd()).unwrap().1);
    }

    #[test]
    fn unix_names_end_where_they_say() {
        let read = |name: &[u8], length: usize| {
            // SAFETY: zeros are an address.
            let mut storage: libc::sockaddr_storage = unsafe { mem::zeroed() };
            storage.ss_family = libc::AF_UNIX as libc::sa_family_t;
            let offset = offset_of!(libc::sockaddr_un, sun_path);
            // SAFETY: names of tests fit into the storage, behind the family.
            unsafe {
                let start = (&raw mut storage).cast::<u8>().add(offset);
                std::ptr::copy_nonoverlapping(name.as_ptr(), start, name.len());
            }
            read_peer(&storage, (offset + length) as libc::socklen_t)
        };
        assert_eq!(Peer::Unix((*b"/run/x").into()), read(b"/run/x", 7));
        assert_eq!(Peer::Unix((*b"/run/x").into()), read(b"/run/x", 6));
        assert_eq!(Peer::Unix((*b"\0name\0x").into()), read(b"\0name\0x", 7));
        assert_eq!(Peer::Unix([].into()), read(b"", 0));
        assert_eq!(Peer::Unix([b'a'; 108].into()), read(&[b'a'; 108], 108));

        // SAFETY: zeros are an address.
        let nobody: libc::sockaddr_storage = unsafe { mem::zeroed() };
        assert_eq!(Peer::Other, read_peer(&nobody, 0));
    }
}
