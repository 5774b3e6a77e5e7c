"""Tell the kernel which sockets of a SO_REUSEPORT group may get new connections.

Sockets are held for the life of the tree, so that a crash loses no queued connection. Left alone, the kernel
would go on hashing newcomers to a socket whose acceptor is dead. A classic-BPF program on the group, which
needs no privilege, picks among the healthy ones instead; it is replaced whenever the set changes, atomically
for the kernel.

The program belongs to the whole group, and its answer is an index in the order in which the sockets began to
listen. Closing a socket renumbers the group: never close one.

Source: socket(7) SO_ATTACH_REUSEPORT_CBPF; the kernel's Documentation/networking/filter.rst.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

_SO_ATTACH_REUSEPORT_CBPF = 51  # asm-generic/socket.h; the socket module does not name it
_LOAD_WORD_ABSOLUTE = 0x20  # BPF_LD | BPF_W | BPF_ABS
_MODULO = 0x94  # BPF_ALU | BPF_MOD | BPF_K
_JUMP_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K
_ANCILLARY_RANDOM = 0xFFFFF000 + 56  # SKF_AD_OFF + SKF_AD_RANDOM


class Instruction(NamedTuple):
    """One `struct sock_filter`: operation, jump if true, jump if false, operand."""

    code: int
    jump_true: int
    jump_false: int
    operand: int


def program(healthy: Sequence[int]) -> list[Instruction]:
    """Write the program that picks one of these sockets at random.

    Args:
        healthy: positions in the group, at least one.

    Random rather than the packet's hash: SYN packets over loopback carry none, and a client that opens many
    connections from one address spreads as well as many clients do.
    """
    if not healthy:
        raise ValueError("a steering program needs at least one healthy socket")
    if len(healthy) == 1:
        return [Instruction(_RETURN, 0, 0, healthy[0])]
    code = [
        Instruction(_LOAD_WORD_ABSOLUTE, 0, 0, _ANCILLARY_RANDOM),
        Instruction(_MODULO, 0, 0, len(healthy)),
    ]
    for remainder, position in enumerate(healthy[:-1]):
        code.append(Instruction(_JUMP_EQUAL, 0, 1, remainder))
        code.append(Instruction(_RETURN, 0, 0, position))
    code.append(Instruction(_RETURN, 0, 0, healthy[-1]))
    return code


def attach(fd: int, code: Sequence[Instruction]) -> None:
    """Put the program on the group that this socket belongs to, in place of an earlier one.

    Raises:
        OSError: the kernel refuses (old kernel, sandbox).
    """
    packed = b"".join(struct.pack("HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(packed)
    header = struct.pack("HP", len(code), ctypes.addressof(buffer))
    sock = socket.socket(fileno=fd)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, header)
    finally:
        sock.detach()
