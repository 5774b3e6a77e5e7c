"""How a native engine is tuned: sections of the configuration that most operators never write.

Each default is what was measured best, or tied for best, on the machine of `benchmarks/`; docs/engines.md
says which symptom asks for which option.
"""

from __future__ import annotations

from dataclasses import dataclass

from rocket_sup.options import KIB, MIB, Kind, option


@dataclass(frozen=True, slots=True)
class IoUringConfig:
    """The ring of each acceptor, when server.engine is io_uring; see docs/engines.md before you touch it."""

    entries: int = option(
        512,
        Kind.INTEGER,
        "Submissions there is room for between two system calls; rounded up to a power of two.",
        between=(8, 32768),
    )
    buffer_size: int = option(
        8 * KIB,
        Kind.BYTES,
        "One receive buffer; a whole request with a browser's headers and cookies should fit.",
        unit="bytes",
        between=(512, MIB),
    )
    buffers: int = option(
        256,
        Kind.INTEGER,
        "Receive buffers that all connections of an acceptor share; rounded up to a power of two.",
        between=(8, 32768),
    )
    batch: int = option(
        512,
        Kind.INTEGER,
        "Completions handled before answers are sent and the event loop gets its turn.",
        between=(1, 65536),
    )
    single_issuer: bool = option(
        True, Kind.BOOLEAN, "Tell the kernel that one thread uses the ring, so that it defers its work to it."
    )
    sqpoll: bool = option(
        False,
        Kind.BOOLEAN,
        "Have a kernel thread for each acceptor look for submissions; it needs a processor of its own.",
    )
    sqpoll_cpu: int = option(
        -1,
        Kind.INTEGER,
        "The processor of that thread.",
        between=(-1, 4095),
        special="-1: the kernel's choice",
    )
    sqpoll_idle: float = option(
        0.1,
        Kind.NUMBER,
        "Without work for this long, that thread sleeps until it is woken.",
        unit="seconds",
        between=(0.001, 60),
    )
