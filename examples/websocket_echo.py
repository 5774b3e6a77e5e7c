"""A WebSocket that sends back what it gets, and the page to try it with, on one path.

rocket-sup examples.websocket_echo:app
python -m websockets ws://localhost:8080/echo        # or open http://localhost:8080/echo in a browser
"""

from __future__ import annotations

from rocket_sup import Request, Response, Router, WebSocket

PAGE = """<!doctype html>
<title>echo</title>
<form><input autofocus><button>send</button></form><pre></pre>
<script>
  const socket = new WebSocket(location.href.replace("http", "ws"));
  const show = text => document.querySelector("pre").textContent += text + "\\n";
  socket.onmessage = event => show(event.data);
  socket.onclose = event => show(`closed: ${event.code} ${event.reason}`);
  document.forms[0].onsubmit = event => {
    event.preventDefault();
    socket.send(document.querySelector("input").value);
  };
</script>
"""

app = Router()


@app.websocket("/echo")
async def echo(ws: WebSocket) -> None:
    """Until it is closed, by whomever."""
    async for message in ws:
        if message == "bye":
            await ws.close(1000, "as you wish")
        else:
            await ws.send(message)


@app.get("/echo")
def page(req: Request) -> Response:
    """For whoever asks for no WebSocket."""
    return Response.html(PAGE)
