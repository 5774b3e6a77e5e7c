"""The same four answers, in each server's own interface.

    GET  /health            ok                        text/plain
    GET  /json              {"message": ...}          orjson, so that no peer pays for a slower serialiser
    GET  /api/users/:id     {"id": ..., "name": ...}  orjson
    POST /api/users         the body's length         the whole body is read first

Each is written the way that server's users write a fast handler; none does work that another leaves out.
"""
