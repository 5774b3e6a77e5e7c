"""What the kernel knows about TCP sockets, and whose they are: the independent witness of the fault runs.

Asked over NETLINK_SOCK_DIAG, which filters by state in the kernel; `/proc/net/tcp` would list every TIME_WAIT
that thousands of connections leave. A connection that waits in an accept queue has no inode yet, one that a
process accepted
has: that tells "handed to the process" from "queued", exactly, from outside.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST, NLM_F_DUMP = 0x01, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
HEADER = struct.Struct("=IHHII")
MESSAGE = struct.Struct("=BBBB2s2s16s16sI8sIIIII")

ESTABLISHED = 1
LISTEN = 10
TIME_WAIT = 6
ALL_BUT_TIME_WAIT = 0xFFF & ~(1 << TIME_WAIT)


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One IPv4 TCP socket.

    Attributes:
        state: the kernel's number; see `LISTEN`.
        port, peer_port: local and remote.
        received: bytes not read yet; for a listening socket, connections not accepted yet.
        inode: 0 while no process has accepted it (or when its process has closed it).
    """

    state: int
    port: int
    peer_port: int
    received: int
    inode: int


def tcp_sockets(port: int, states: int = ALL_BUT_TIME_WAIT) -> list[TcpSocket]:
    """All IPv4 TCP sockets of this network namespace whose local port is `port`."""
    request = struct.pack("=BBBBI48x", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, states)
    header = HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0)
    found: list[TcpSocket] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as netlink:
        netlink.sendto(header + request, (0, 0))
        while True:
            data = netlink.recv(1 << 18)
            offset = 0
            while offset < len(data):
                length, kind, *_ = HEADER.unpack_from(data, offset)
                if kind == NLMSG_DONE:
                    return found
                if kind == NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", data, offset + HEADER.size)[0], "sock_diag")
                fields = MESSAGE.unpack_from(data, offset + HEADER.size)
                local, peer = int.from_bytes(fields[4], "big"), int.from_bytes(fields[5], "big")
                if local == port:
                    found.append(TcpSocket(fields[1], local, peer, fields[11], fields[14]))
                offset += (length + 3) & ~3


def inodes(pid: int) -> set[int]:
    """Inodes of all sockets that a process has open; empty when it is gone."""
    found: set[int] = set()
    for target in descriptors(pid).values():
        if target.startswith("socket:["):
            found.add(int(target[8:-1]))
    return found


def descriptors(pid: int) -> dict[int, str]:
    """Open descriptors of a process: number to what `/proc/PID/fd` calls it; empty when it is gone."""
    found: dict[int, str] = {}
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return found
    for name in names:
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue  # closed meanwhile
    return found


def clients_of(pid: int, port: int) -> set[int]:
    """Client ports of the connections that this process has accepted on `port` and still holds."""
    own = inodes(pid)
    return {sock.peer_port for sock in tcp_sockets(port) if sock.state != LISTEN and sock.inode in own}


def accepted(port: int) -> int:
    """How many connections on `port` some process has accepted and not closed."""
    return sum(1 for sock in tcp_sockets(port) if sock.state != LISTEN and sock.inode)


def queued(port: int) -> int:
    """How many connections wait in accept queues of `port`, over all its listening sockets."""
    return sum(sock.received for sock in tcp_sockets(port, 1 << LISTEN))
