"""Rooms in which everybody hears everybody: JSON messages, a subprotocol, a refusal, and slow clients.

    rocket-sup --workers 1 examples.websocket_chat:app   # one acceptor: rooms live in its memory

Each client has a queue of what it has not been sent yet. One that is too slow for the room loses its place
in it, and the others do not wait. The handler is two tasks: one listens, one speaks; when the client leaves,
both end.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict

from rocket_sup import Router, WebSocket

BEHIND = 100  # messages that a client may be behind the others

app = Router()
rooms: defaultdict[str, dict[str, asyncio.Queue[object]]] = defaultdict(dict)


@app.websocket("/rooms/:room", subprotocols=["chat.v1"], max_message=4096)
async def chat(ws: WebSocket) -> object:
    """Join a room by the name in the query string."""
    room, name = rooms[ws.path_params["room"]], ws.query_params.get("name", "")
    if not name or name in room:
        return 409, "say another name, as in ?name=alice\n"
    await ws.accept()
    queue = room[name] = asyncio.Queue(BEHIND)
    say(room, {"joined": name})
    try:
        async with asyncio.TaskGroup() as tasks:
            speaker = tasks.create_task(speak(ws, queue))
            async for message in ws:
                say(room, {"from": name, "text": str(message)})
            speaker.cancel()
    finally:
        room.pop(name, None)
        say(room, {"left": name})
    return None


async def speak(ws: WebSocket, queue: asyncio.Queue[object]) -> None:
    """Tell one client what the room says, until it is too far behind."""
    while (message := await queue.get()) is not None:
        await ws.send_json(message)
    await ws.close(1013, "too slow")


def say(room: dict[str, asyncio.Queue[object]], message: object) -> None:
    """Tell everybody in a room, and wait for nobody."""
    for name, queue in list(room.items()):
        if queue.full():
            del room[name]
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(None)
        else:
            queue.put_nowait(message)
