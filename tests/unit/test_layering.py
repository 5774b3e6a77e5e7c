"""The shape of the package: which module may import which, and that every module has its own test.

The tables below are the rules; ARCHITECTURE.md tells them in words. A new module is put into one column, and
into `PURE` if it is a machine or data. Imports are read from the source; what that loads is measured.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "rocket_sup"
TESTS = Path(__file__).parent

COLUMNS = {
    # knows neither processes nor HTTP
    "shared": (
        "errors options binds toml_lines config config_child config_engine config_files config_proxy"
        " config_websocket config_check config_load config_document control_path processors log logfile"
    ),
    # knows no HTTP
    "tree": (
        "spec actions lifecycle child children verdict plan outbox policy process channel scoreboard steering"
        " sockets heldsockets poller shell roster rollout renewal vigil gate orphans sidecar status orders"
        " acceptorpool listener supervisor ops.systemd ops.control"
    ),
    # knows no processes
    "wire": (
        "pattern router hooks application request response repertoire dispatch handling phases link exchange"
        " intake incoming lending loan connection rejection service threads accesslog conduit sessions"
        " sources flow threadedstream streaming streamed"
        " websocket wslane wslink wsroute wakeup http.wsframes http.wshandshake"
        " http.grammar http.multidict http.headers http.framing http.chunked http.witness http.semantics"
        " http.query http.forms http.forwarded http.preamble proxy"
        " adapters.wsgi adapters.wsgi_environ adapters.wsgi_files adapters.wsgi_input adapters.wsgi_loop"
        " adapters.wsgi_response adapters.wsgi_threads"
        " static filecache filebody rootdir listing refusals http.validators http.ranges http.selection"
        " http.codings http.mediatypes http.disposition"
        " mounts adapters.asgi adapters.asgi_exchange adapters.asgi_fields adapters.asgi_stream"
        " adapters.asgi_websocket"
        " adapters.lifespan adapters.recognition"
        " route routetable unrouted verbs errorpages middleware filesite tuned"
    ),
    # asks other servers; knows nothing of ours
    "client": (
        "client.errors client.lines client.messages client.settings client.transport client.urls"
        " client.cache.directives client.cache.stored client.cache.keys client.cache.ask client.cache.storing"
        " client.cache.validation client.cache.invalidation client.cache.policy"
        " client.cache.serial client.cache.store client.cache.sqlite client.cache.redis"
        " client.cache.tee client.cache.flight client.cache.shelf client.cache.answers client.cache.errand"
        " client.cache.fetching client.cache.address client.cache.layer"
        " client.answer_head client.answer_reader client.request_head client.streams client.deadlines"
        " client.http1 client.pool client.resolving client.tls client.dial client.wire client.decoding"
        " client.content client.asyncclient client.redirects client.cookies client.auth client.retries"
        " client.loopthread client.syncclient client.bulk client.bulkreport"
        " client.http2 client.http2_exchange client.undecided"
        " client.onecall client.mock client.events client.fetch"
        " client.detours client.governing"
    ),
    # the wire behind one contract, in Python or native
    "engine": (
        "embedding engine.contract engine.announcing engine.portable engine.selector engine.desk"
        " engine.doorman engine.nativewire engine.native engine.choice engine.raw engine.rawportable"
        " engine.rawloop engine.tcpwire tcp"
    ),
    # where the columns meet
    "meeting": "acceptor admission reverse",
    # the way in
    "entrance": "cli flags commands status_text checking reloader __main__ testing.site testing.answers"
    " testing.requests testing.websocket testing.client testing.server testing.tree",
}
MAY_IMPORT = {
    "shared": {"shared"},
    "tree": {"tree", "shared"},
    "wire": {"wire", "shared"},
    "client": {"client", "shared"},  # and the pure modules of HTTP itself
    "engine": {"engine", "wire", "shared"},
    "meeting": {"meeting", "engine", "tree", "wire", "client", "shared"},
    "entrance": {"entrance", "meeting", "engine", "tree", "wire", "client", "shared"},
}
# Machines and data: an event and the time go in, actions come out.
PURE = {
    *("client.cache.directives", "client.cache.stored", "client.cache.keys", "client.cache.ask"),
    *("client.cache.storing", "client.cache.validation", "client.cache.invalidation", "client.cache.policy"),
    *("client.errors", "client.urls", "client.settings", "client.lines", "client.answer_head"),
    *(
        "errors",
        "options",
        "binds",
        "config",
        "config_child",
        "config_engine",
        "config_files",
        "config_proxy",
        "config_websocket",
        "toml_lines",
    ),
    *("spec", "actions", "lifecycle", "child", "children", "verdict", "plan", "outbox", "policy"),
    *("rollout", "vigil", "pattern", "phases"),
    *("http.grammar", "http.multidict", "http.headers", "http.framing", "http.chunked"),
    *("http.validators", "http.ranges", "http.selection"),
    *("http.codings", "http.mediatypes", "http.disposition"),
    "listing",
    *("http.query", "http.forms", "http.wsframes", "http.wshandshake", "http.forwarded", "http.preamble"),
}
IMPURE_MODULES = {
    "os",
    "socket",
    "time",
    "select",
    "selectors",
    "threading",
    "asyncio",
    "logging",
    "subprocess",
}
# The processes that fork: small, without threads, event loops or parsers of HTTP.
LIGHT = ("supervisor", "listener")
HEAVY_MODULES = {"asyncio", "uvloop", "httptools", "psutil", "concurrent.futures", "rocket_sup.connection"}
# Imports inside a function, each with its reason.
LATE_IMPORTS: dict[tuple[str, str], str] = {
    ("client.asyncclient", "client.cache.layer"): "only clients that have a cache wait for its modules",
    ("route", "streamed"): "it knows the event loop, which the Supervisor never loads",
    ("checking", "application"): "only the child loads the wire, and what it adapts applications with",
    ("cli", "client.fetch"): "no other command is a client, and the processes of a tree stay small",
    ("cli", "acceptor"): "the Listener loads the wire once, before its first fork; the Supervisor never does",
}
# Modules whose behaviour only shows in whole processes: tested there, not in a file of their own.
TESTED_ELSEWHERE: dict[str, str] = {
    "__main__": "two lines; tests/systemd starts the tree with it",
    "client.cache.errand": "data between client.cache.layer and client.cache.fetching",
    "conduit": "what two engines promise: tests/conformance/test_conduit.py holds them to it",
    **dict.fromkeys(
        [
            "client.http1",
            "client.http2",
            "client.http2_exchange",
            "client.wire",
            "client.dial",
            "client.asyncclient",
            "client.syncclient",
        ],
        "shells around sockets, against real servers: tests/client",
    ),
    **dict.fromkeys(
        ["supervisor", "listener", "acceptor"],
        "whole processes: tests/tree, tests/systemd, tests/faults",
    ),
}
# Unit tests of something that is not one module.
NOT_A_MIRROR = {
    "test_layering": "the whole package",
    "test_left_behind": "tests/conftest.py",
}


def modules() -> dict[str, Path]:
    """All modules by their name inside the package, packages' own files left out."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "__init__.py"
    }


def column_of(module: str) -> str | None:
    """The column that lists the module."""
    return next((column for column, names in COLUMNS.items() if module in names.split()), None)


def imports(path: Path) -> Iterator[tuple[str, ast.AST, bool]]:
    """Every import at run time: full name, the statement, whether it stands inside a function."""

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, ast.AST, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
                for other in child.orelse:
                    yield from walk(other, inside)
            elif isinstance(child, ast.Import):
                yield from ((alias.name, child, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: imports are written in full"
                for alias in child.names:
                    whole = f"{child.module}.{alias.name}"
                    yield (
                        (whole if whole.removeprefix("rocket_sup.") in MODULES else str(child.module)),
                        child,
                        inside,
                    )
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, inside or function)

    return walk(ast.parse(path.read_text()), False)


MODULES = modules()
GRAPH = {
    module: {
        name.removeprefix("rocket_sup.") for name, _, _ in imports(path) if name.startswith("rocket_sup.")
    }
    & MODULES.keys()
    for module, path in MODULES.items()
}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_stands_in_one_column(module: str) -> None:
    """A module that no rule covers would escape all of them."""
    assert column_of(module), f"{module}: put it into one column of {Path(__file__).name}"


@pytest.mark.parametrize("module", MODULES)
def test_columns_import_only_what_stands_below(module: str) -> None:
    """The tree knows no HTTP, the wire knows no processes; they meet in acceptor.py."""
    column = column_of(module) or "entrance"
    broken = [
        f"{module} ({column}) imports {other} ({column_of(other)}), may import: {sorted(MAY_IMPORT[column])}"
        for other in GRAPH[module]
        if column_of(other) not in MAY_IMPORT[column]
        and not (column == "client" and other in PURE and other.startswith("http."))
    ]

    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("module", sorted(PURE & MODULES.keys()))
def test_machines_do_no_io(module: str) -> None:
    """A pure module imports no clock, no socket, no thread, and only pure modules."""
    path = MODULES[module]
    outside = {name.split(".")[0] for name, _, _ in imports(path)} & IMPURE_MODULES
    impure = GRAPH[module] - PURE

    assert not outside, f"{module} is pure and imports {sorted(outside)}"
    assert not impure, f"{module} is pure and imports {sorted(impure)}, which are not"


def test_no_module_imports_itself_in_a_circle() -> None:
    """Imports run one way."""
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, "circle: " + " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for other in sorted(GRAPH[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in GRAPH:
        visit(module, ())


def test_no_import_hides_inside_a_function() -> None:
    """A late import would get round the rules above; the few there are have a reason."""
    late = {
        (module, name.removeprefix("rocket_sup."))
        for module, path in MODULES.items()
        for name, _, inside in imports(path)
        if inside and name.startswith("rocket_sup")
    }

    assert set(LATE_IMPORTS) == late


def test_the_native_module_has_one_door() -> None:
    """Nobody else imports it, so that everything works without it; who checks the wish may see if it is
    there."""
    named = {module for module, path in MODULES.items() if "engine._native" in path.read_text()}
    imported = {module for module, path in MODULES.items() if "import _native" in path.read_text()}

    assert {"engine.native", "config_check"} == named
    assert set() == imported


def loaded_by(*names: str) -> set[str]:
    """The modules a fresh interpreter has loaded after importing these."""
    code = "import sys\n" + "\n".join(f"import rocket_sup.{name}" for name in names) + "\nprint(*sys.modules)"
    path = [str(PACKAGE.parent), *sys.path]
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {path!r}\n{code}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_pure_modules_load_no_socket_and_no_loop() -> None:
    """Importing any pure module leaves sockets, loops, threads' and processes' modules unloaded."""
    loaded = loaded_by(*sorted(PURE & MODULES.keys()))

    assert set() == loaded & {"socket", "select", "asyncio", "logging", "subprocess", "orjson", "httptools"}


def test_the_processes_that_fork_stay_light() -> None:
    """Supervisor and Listener load no event loop, no HTTP parser and no application."""
    loaded = loaded_by(*[name for name in LIGHT if name in MODULES])

    assert set() == loaded & HEAVY_MODULES


def test_every_module_has_its_own_test() -> None:
    """tests/unit mirrors the package, or the exception is listed with its reason."""
    without = {module for module in MODULES if not mirrors(module)}

    missing = without - set(TESTED_ELSEWHERE)

    assert not missing, f"tests/unit/test_x.py exists exactly when x.py does: {' '.join(sorted(missing))}"


def test_every_unit_test_has_its_module() -> None:
    """No test outlives what it tests."""
    known = {path for module in MODULES for path in mirrors(module)}
    orphans = {path.stem for path in TESTS.rglob("test_*.py") if path not in known}

    assert set(NOT_A_MIRROR) == orphans


def mirrors(module: str) -> list[Path]:
    """The test file of a module: in the same folder below tests/unit, or flat."""
    *folders, name = module.split(".")
    places = {TESTS.joinpath(*folders, f"test_{name}.py"), TESTS / f"test_{name}.py"}
    return [path for path in places if path.exists()]
