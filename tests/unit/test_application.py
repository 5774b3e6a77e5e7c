"""Loading the application: every way to get it wrong has a message that says how to get it right."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rocket_sup.adapters.recognition import Interface
from rocket_sup.application import load_application, load_configured
from rocket_sup.config import Config, ServerConfig
from rocket_sup.errors import ApplicationError, LocalProtocolError

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Write modules into a folder; what they leave in the interpreter is removed."""
    before, path = set(sys.modules), list(sys.path)

    def write(**modules: str) -> str:
        for name, source in modules.items():
            file = tmp_path.joinpath(*name.split("__")).with_suffix(".py")
            file.parent.mkdir(exist_ok=True)
            file.write_text(textwrap.dedent(source))
        return str(tmp_path)

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


APP = """
    from rocket_sup import Router
    app = Router()
    @app.get("/x")
    def x(req): return "x"
"""


def refused(handler: str, folder: str, *, factory: bool = False) -> ApplicationError:
    with pytest.raises(ApplicationError) as error:
        load_application(handler, factory=factory, app_dir=folder)
    return error.value


@pytest.mark.parametrize("handler", ["site_one", "site_one:app", "site_one:holder.inner", "pkg.site_one:app"])
def test_the_application_is_found_and_frozen(write: Write, handler: str) -> None:
    """By module and attribute, which may be dotted and is `app` by default; modules may be in packages."""
    holder = "class holder: inner = app\n"
    source = textwrap.dedent(APP) + holder
    folder = write(site_one=source, pkg__site_one=source)

    router = load_application(handler, factory=False, app_dir=folder)

    assert router.find("GET", "/x") is not None
    with pytest.raises(LocalProtocolError):
        router.get("/y")


def test_a_factory_is_called(write: Write) -> None:
    """A function makes the application."""
    folder = write(made="from rocket_sup import Router\ndef make(): return Router()\n")

    assert load_application("made:make", factory=True, app_dir=folder).allowed_methods("/") == ()


def test_the_folder_comes_first_and_once(write: Write) -> None:
    """Modules of the application win over installed ones of the same name."""
    folder = write(site_one=APP)
    load_application("site_one", factory=False, app_dir=folder)
    load_application("site_one", factory=False, app_dir=folder)

    assert sys.path[0] == folder
    assert sys.path.count(folder) == 1


@pytest.mark.parametrize(
    ("handler", "hint"),
    [
        ("", 'is not of the form "package.module:attribute"'),
        ("a b", "is not of the form"),
        ("a:b:c", "is not of the form"),
        ("a..b", "is not of the form"),
        ("./web/site.py", "its module is named web.site:app"),
        ("web/site.py:make", "its module is named web.site:make"),
        ("site.py", "its module is named site:app"),
    ],
)
def test_the_spelling_of_handlers(write: Write, handler: str, hint: str) -> None:
    """Files are a common slip, and get the name that was meant."""
    error = refused(handler, write())

    assert hint in str(error)
    assert error.report == ""


def test_a_module_that_does_not_exist(write: Write) -> None:
    """Where it was looked for, and the nearest name there; no traceback is needed."""
    folder = write(website=APP, pkg__site_one=APP)

    error = refused("wesbite:app", folder)
    assert f"there is no module wesbite (looked in {folder} first" in str(error)
    assert 'did you mean "website"?' in str(error)
    assert error.report == ""
    assert 'did you mean "site_one"?' in str(refused("pkg.site_on:app", folder))
    assert "did you mean" not in str(refused("nothing.here:app", folder))


def test_an_attribute_that_does_not_exist(write: Write) -> None:
    """The nearest name is offered, at any depth."""
    folder = write(site_one=APP + "    class holder: inner = app\n")

    assert 'module site_one has no attribute ap; did you mean "app"?' in str(refused("site_one:ap", folder))
    error = refused("site_one:holder.iner", folder)
    assert 'module site_one, holder has no attribute iner; did you mean "inner"?' in str(error)


@pytest.mark.parametrize(
    ("source", "line", "summary"),
    [
        ("import site_two\n", 'File "{folder}/site_two.py", line 2', "ZeroDivisionError: division by zero"),
        ("import nowhere_at_all\n", "line 1, in <module>\n    import nowhere_at_all", "ModuleNotFoundError"),
        ("def f(:\n", 'File "{folder}/broken.py", line 1', "SyntaxError"),
        ("raise SystemExit(3)\n", 'File "{folder}/broken.py", line 1', "SystemExit: 3"),
        ("raise ValueError\n", 'File "{folder}/broken.py", line 1', "ValueError"),
    ],
)
def test_a_module_that_fails(write: Write, source: str, line: str, summary: str) -> None:
    """The report is the traceback of the application's own frames, from the first one."""
    folder = write(broken=source, site_two="\n1 / 0\n")

    error = refused("broken:app", folder)

    assert f"broken cannot be imported: {summary}" in str(error)
    assert line.format(folder=folder) in error.report
    assert "importlib" not in error.report
    assert "application.py" not in error.report
    assert "\n" not in str(error)


def test_a_factory_that_fails(write: Write) -> None:
    """The same for what it raises."""
    folder = write(made="def make():\n    return 1 / 0\n")

    error = refused("made:make", folder, factory=True)

    assert f"calling make ({folder}/made.py:1) failed: ZeroDivisionError" in str(error)
    assert error.report.startswith(f'Traceback (most recent call last):\n  File "{folder}/made.py", line 2')


@pytest.mark.parametrize(
    ("source", "factory", "hint"),
    [
        ("app = 1", False, "is of type builtins.int, neither a Router nor an ASGI nor a WSGI application"),
        ("app = 1", True, "cannot be called, it is of type builtins.int"),
        ("async def app(): ...", True, "a factory is a plain function"),
        ("def app(): return 1", True, "returned an object of type builtins.int, neither a Router"),
        ("def app(): ...", False, "set server.factory = true (--factory)"),
        ("def app(scope): ...", False, "looks like an ASGI 2 application"),
        ("class app:\n    async def __call__(self, scope, receive, send): ...", False, "is the class app"),
        ("def app(one): ...", False, "server.interface (--interface) says what it is"),
        ("app = iter", False, "server.interface (--interface) says what it is"),
    ],
)
def test_what_is_no_router(write: Write, source: str, factory: bool, hint: str) -> None:
    """It says what was found, and what it looks like."""
    error = refused("wrong:app", write(wrong=source), factory=factory)

    assert hint in str(error)
    assert error.report == ""


@pytest.mark.parametrize(
    "source",
    [
        "async def app(scope, receive, send): ...",
        "class App:\n    async def __call__(self, scope, receive, send): ...\napp = App()",
        "def app(environ, start_response): ...",
    ],
)
def test_other_interfaces(write: Write, source: str) -> None:
    """They become a router with one route; what was said about the interface counts more."""
    folder = write(other=source)

    router = load_application("other:app", factory=False, app_dir=folder)
    said = load_application("other:app", factory=False, app_dir=folder, interface=Interface("wsgi"))

    assert router.sole_route is not None
    assert said.sole_route is not None


@pytest.mark.parametrize(
    ("kind", "source", "hint"),
    [
        ("asgi", "app = 1", "neither a Router nor"),
        ("router", "def app(a, b, c): ...", "neither a Router nor"),
        ("asgi", APP, "server.interface (--interface) says something else"),
    ],
)
def test_an_interface_that_it_does_not_have(write: Write, kind: str, source: str, hint: str) -> None:
    """What cannot be called, what is no router, and what is one."""
    folder = write(no=source)
    with pytest.raises(ApplicationError) as error:
        load_application("no:app", factory=False, app_dir=folder, interface=Interface(kind))

    assert hint in str(error.value)


def test_the_configuration_names_an_application(write: Write) -> None:
    """And everything about it."""
    folder = write(site_one="async def app(scope, receive, send): ...")
    server = ServerConfig(handler="site_one", app_dir=folder, lifespan="off")

    router = load_configured(Config(server=server), ("127.0.0.1", 80))

    assert router.sole_route is not None
    assert router.hooks.lives == []


def test_conflicting_routes(write: Write) -> None:
    """Routes are checked before anything is served."""
    folder = write(site_one=APP + '    @app.get("/x")\n    def again(req): return "x"\n')

    error = refused("site_one:app", folder)

    assert f"x ({folder}/site_one.py:4)" in str(error)
    assert f"again ({folder}/site_one.py:6)" in str(error)


def test_a_folder_that_does_not_exist(write: Write) -> None:
    """No nearest name can be offered, and that is all."""
    folder = write()

    assert "there is no module site_one" in str(refused("site_one", folder + "/missing"))
