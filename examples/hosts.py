"""A router of one's own, here by the name of the host: rocket-sup examples.hosts:app

curl -H 'Host: shop.example' localhost:8080/               # the shop
curl -H 'Host: blog.example' localhost:8080/posts/7        # the blog
curl -H 'Host: other.example' -i localhost:8080/           # 421: nobody is called so here

The fallback is asked for every path that no route of `app` has, so it may route as it likes: here each host
has routes of its own.
"""

from __future__ import annotations

from rocket_sup import Request, Router

app = Router()
shop, blog = Router(), Router()
hosts = {"shop.example": shop, "blog.example": blog}


@shop.get("/")
def shelf(req: Request) -> str:
    """Answer for the shop."""
    return "the shop\n"


@blog.get("/posts/:id")
async def post(req: Request) -> dict[str, str]:
    """Answer for the blog."""
    return {"post": req.path_params["id"]}


@app.get("/health")
def health(req: Request) -> str:
    """Answer on every host: the routes of `app` come first."""
    return "ok\n"


@app.fallback
def by_host(req: Request) -> object:
    """Find the host, then its route, and call the handler; what it returns is the answer."""
    router = hosts.get(req.host.partition(":")[0].lower())
    if router is None:
        return 421, "nobody is called so here\n"
    found = router.find(req.method, req.path)
    if found is None:
        return 404, "not here\n"
    route, req.path_params = found
    return route.handler(req)


for each in hosts.values():
    each.freeze()
