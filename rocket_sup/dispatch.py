"""From a request to the route that serves it, or to the answer that needs no handler.

The order of the questions is fixed: is the method known to anyone (501); is it `OPTIONS *` or CONNECT; does
a pre-routing hook answer; is there a route; is the path known with other methods (405, or the automatic
OPTIONS); is there a fallback; else 404. What is mounted takes any method, known or not, of a path below its
prefix that no route matches. No sockets here, and no content: that is read only when a route wants it.
"""

from __future__ import annotations

from rocket_sup.hooks import RoutingDecision
from rocket_sup.refusals import refusal as refusal
from rocket_sup.request import Request
from rocket_sup.response import Answer, answer_from
from rocket_sup.router import Route, Router
from rocket_sup.unrouted import allow_field as allow_field
from rocket_sup.unrouted import known_path, unrouted


def decide(router: Router, request: Request) -> Route | Answer | None:
    """Find what serves a request, and set its path parameters.

    Returns: the route whose handler serves it; or the answer; or None when a hook wants the connection
    dropped.
    Raises:
        Exception: whatever a hook raised, or whatever is wrong with the value it returned.
    """
    sole = router.sole_route
    mounted = router.mounts.find(request.path)
    if sole is None and mounted is None and request.method not in router.known_methods:
        return refusal(501, "this method is not known here (RFC 9110 §15.6.2)")
    if sole is None and request.path == "*":
        allowed = router.known_methods - {"CONNECT", "TRACE"}
        return Answer(204, allow_field(tuple(sorted(allowed))))
    if request.method == "CONNECT":
        return refusal(501, "no tunnels are made here (RFC 9110 §9.3.6)")
    if router.hooks.pre_routing:
        decision = router.hooks.run_pre_routing(request)
        if decision is RoutingDecision.DROP:
            return None
        if decision is not RoutingDecision.PROCEED:
            return answer_from(decision)
    if sole is not None:
        return sole
    found = router.find(request.method, request.path)
    if found is not None:
        request.path_params = found[1]
        return found[0]
    if mounted is not None:
        return mounted
    return _without_route(router, request)


def _without_route(router: Router, request: Request) -> Route | Answer:
    """Find what else may serve a request, or answer it."""
    path = known_path(router, request.path)
    if path != request.path and router.trailing_slash == "ignore":
        found = router.find(request.method, path)
        if found is not None:
            request.path_params = found[1]
            return found[0]
    if router.fallback_route is not None and not router.allowed_methods(path):
        return router.fallback_route
    return router.unrouted_route or unrouted(router, request)
