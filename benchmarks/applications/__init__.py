"""The same answers, in each server's own interface.

    GET  /health            ok                        text/plain
    GET  /async             ok                        an async handler, where the interface has plain ones too
    GET  /suspend           ok                        after one `await asyncio.sleep(0)`
    GET  /api/users/:id     {"id": ..., "name": ...}  orjson, so that no peer pays for a slower serialiser
    POST /api/users         the content's length      the whole content is read first

Each is written the way that server's users write a fast handler; none does work that another leaves out.
"""
