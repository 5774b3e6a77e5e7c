r"""Below HTTP: send back whatever comes.

    python -m examples.tcp_echo 7000
    printf 'hello\n' | nc -N localhost 7000

The engine is the second argument: auto, epoll, io_uring or python.
"""

from __future__ import annotations

import sys

from rocket_sup.tcp import Connection, serve


async def handler(connection: Connection) -> None:
    """Echo until the client's end; a client that does not read is not read either."""
    while data := await connection.read():
        connection.write(data)
        await connection.flush()


async def by_view(connection: Connection) -> None:
    """The same without a copy on the way in: each view is given back at the end of its block."""
    while True:
        with await connection.read_view() as view:
            if not view:
                return
            connection.write(view)
        await connection.flush()


if __name__ == "__main__":
    serve(handler, port=int(sys.argv[1]), engine=sys.argv[2] if len(sys.argv) > 2 else "auto")
