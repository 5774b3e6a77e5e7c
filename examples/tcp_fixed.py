"""Below HTTP: answer every request alike, as a probe or a load generator wants it.

    python -m examples.tcp_fixed 7002
    curl localhost:7002

It looks for the end of each head and believes nothing else of it; a request with content is refused. What
parses HTTP is `rocket-sup` itself: this shows what the raw API costs, and what it leaves to its user.
"""

from __future__ import annotations

import sys

from rocket_sup.tcp import Connection, Limits, Pieces, TooLongError, serve

HEAD = 16 * 1024  # bytes
LIMITS = Limits(idle_s=30)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def handler(connection: Connection) -> None:
    """Answer until the client's end; answers to pipelined requests leave together."""
    heads = Pieces(connection, limit=HEAD)
    try:
        while (head := await heads.until(b"\r\n\r\n")) is not None:
            lines = head.lower().split(b"\r\n")[1:]
            if any(line.startswith((b"content-length:", b"transfer-encoding:")) for line in lines):
                connection.write(REFUSAL)
                return
            connection.write(ANSWER)
    except TooLongError:
        connection.write(REFUSAL)


if __name__ == "__main__":
    engine = sys.argv[2] if len(sys.argv) > 2 else "auto"
    serve(handler, port=int(sys.argv[1]), engine=engine, limits=LIMITS)
