r"""Below HTTP: a small key-value store with a protocol of lines.

    python -m examples.tcp_lines 7001
    printf 'set x 5\nhello\nget x\n' | nc -N localhost 7001

A request is a line: `set KEY N`, with N bytes behind it, `get KEY` or `delete KEY`. So is an answer: `ok`,
`value N` with N bytes behind it, `none`, or `error` with a reason. Requests may be sent without waiting for
answers. A line that is too long, a value that is too large or a client that is silent for a minute ends the
connection.
"""

from __future__ import annotations

import sys

from rocket_sup.tcp import Connection, Limits, Pieces, TooLongError, serve

LINE = 256  # bytes
VALUE = 1 << 20
LIMITS = Limits(idle_s=60)

store: dict[bytes, bytes] = {}


async def handler(connection: Connection) -> None:
    """Answer each line until the client's end."""
    lines = Pieces(connection, limit=VALUE)
    try:
        while (line := await lines.until(b"\n", limit=LINE)) is not None:
            connection.write(await answer(line.rstrip(b"\r").split(b" "), lines))
            await connection.flush()
    except TooLongError as error:
        connection.write(b"error %s\n" % str(error).encode())


async def answer(words: list[bytes], pieces: Pieces) -> bytes:
    """Do what a line says.

    Raises:
        TooLongError: a value larger than allowed.
    """
    match words:
        case [b"set", key, count] if count.isdigit():
            store[key] = await pieces.exactly(int(count))
            return b"ok\n"
        case [b"get", key]:
            value = store.get(key)
            return b"none\n" if value is None else b"value %d\n%s" % (len(value), value)
        case [b"delete", key]:
            return b"none\n" if store.pop(key, None) is None else b"ok\n"
    return b"error not understood\n"


if __name__ == "__main__":
    engine = sys.argv[2] if len(sys.argv) > 2 else "auto"
    serve(handler, port=int(sys.argv[1]), engine=engine, limits=LIMITS)
