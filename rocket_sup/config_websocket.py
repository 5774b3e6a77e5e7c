"""What a WebSocket may take and how long it may be silent: the section `[websocket]` of the configuration.

A route may have its own values; see `rocket_sup.wsroute`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rocket_sup.options import DAY, MIB, TIB, Kind, option


@dataclass(frozen=True, slots=True)
class WebSocketConfig:
    """Every WebSocket whose route says nothing else."""

    max_message: int = option(
        1 * MIB,
        Kind.BYTES,
        "Largest message, as sent and inflated; above it the close code is 1009.",
        unit="bytes",
        between=(125, TIB),
    )
    compression: bool = option(True, Kind.BOOLEAN, "Compress, if the client offers it (permessage-deflate).")
    queue: int = option(
        32,
        Kind.INTEGER,
        "Messages that wait for the handler; then the client has to wait.",
        between=(1, 100_000),
    )
    ping_interval: float = option(
        20.0,
        Kind.NUMBER,
        "Silence after which the client is asked whether it is there.",
        unit="seconds",
        between=(0, DAY),
        special="0: never",
    )
    ping_timeout: float = option(
        20.0,
        Kind.NUMBER,
        "Silence after that question; then the connection is closed with 1011.",
        unit="seconds",
        between=(0, DAY),
        special="0: no deadline",
    )
    close_timeout: float = option(
        10.0,
        Kind.NUMBER,
        "Time for the client to answer a Close, and for a handler to end after its client has left.",
        unit="seconds",
        between=(0.01, DAY),
    )
