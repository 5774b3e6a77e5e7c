"""Import the application that `server.handler` names, and recognise it.

Called in the process that will serve it, and in the one that `rocket-sup check` starts. Whatever goes wrong
while foreign code runs becomes one `ApplicationError`, whose report is what the author of the application
wants to read: the traceback from the first line of the application on, without ours and the import system's.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import re
import sys
import traceback
from types import ModuleType, TracebackType
from typing import cast

from rocket_sup.adapters.asgi import ServerAddress
from rocket_sup.adapters.lifespan import LifespanMode
from rocket_sup.adapters.recognition import AUTO, Interface, kind_of, prepare
from rocket_sup.config import Config
from rocket_sup.errors import ApplicationError
from rocket_sup.filesite import make_file_site
from rocket_sup.options import did_you_mean
from rocket_sup.pattern import RouteError
from rocket_sup.router import Router, describe

_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_HANDLER = re.compile(rf"({_DOTTED})(?::({_DOTTED}))?")
_OUR_FRAMES = (__file__, importlib.__file__ or "", "<frozen importlib")


class BelowHttp:
    """An application that is not asked for answers but has whole connections; `rocket_sup.tcp` has one."""


def load_application(
    handler: str, *, factory: bool, app_dir: str, interface: Interface = AUTO
) -> Router | BelowHttp:
    """Import, call if it is a factory, recognise and adapt the application.

    Args:
        handler: "package.module:attribute"; the attribute may be dotted, and is `app` when left out.
        factory: the attribute is a function without arguments that returns the application.
        app_dir: directory to put first on `sys.path`.
        interface: how it is to be served.

    Returns:
        A frozen router; or what serves connections below HTTP.

    Raises:
        ApplicationError: the application's fault or its address's; with a report for people.
    """
    match = _HANDLER.fullmatch(handler)
    if match is None or match[1].endswith(".py"):
        raise ApplicationError(f"{handler!r} {_explain_spelling(handler)}")
    directory = os.path.abspath(app_dir)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    found = _attribute_of(_import(match[1], directory), match[2] or "app")
    if factory:
        found = _called(found, handler)
    if isinstance(found, BelowHttp):
        return found
    kind = kind_of(found) if interface.kind == "auto" else interface.kind
    if not callable(found) if kind in ("asgi", "wsgi") else not isinstance(found, Router):
        raise ApplicationError(f"{handler} {_explain_type(found, factory=factory)}")
    try:
        return prepare(found, dataclasses.replace(interface, kind=kind))
    except RouteError as error:
        raise ApplicationError(f"{handler}: {error}") from None


def load_configured(config: Config, address: ServerAddress | None = None) -> Router | BelowHttp:
    """Load the application of a configuration, or make one of its directory; see `load_application`.

    Args:
        address: where it is reached; None if nobody knows.
    """
    if config.files.directory:
        return make_file_site(config.files)
    server = config.server
    interface = Interface(
        server.interface,
        server.root_path,
        cast("LifespanMode", server.lifespan),
        address,
        config.acceptor.threads,
    )
    return load_application(
        server.handler, factory=server.factory, app_dir=server.app_dir, interface=interface
    )


def _import(name: str, directory: str) -> ModuleType:
    importlib.invalidate_caches()  # the file may be younger than this process's view of its directory
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            *parents, last = error.name.split(".")
            hint = did_you_mean(last, _modules_in(os.path.join(directory, *parents)))
            message = f"there is no module {error.name} (looked in {directory} first{hint})"
            raise ApplicationError(message) from None
        raise _failed(f"{name} cannot be imported", error) from None
    except (Exception, SystemExit) as error:
        raise _failed(f"{name} cannot be imported", error) from None


def _attribute_of(module: ModuleType, attributes: str) -> object:
    found: object = module
    place = f"module {module.__name__}"
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            public = [each for each in dir(found) if not each.startswith("_")]
            hint = did_you_mean(attribute, public)
            raise ApplicationError(f"{place} has no attribute {attribute}{hint}") from None
        place = f"{place}, {attribute}"
    return found


def _called(factory: object, handler: str) -> object:
    if not callable(factory):
        raise ApplicationError(f"{handler} cannot be called, it is {_described(factory)}")
    if inspect.iscoroutinefunction(factory):
        raise ApplicationError(f"{handler} is 'async def'; a factory is a plain function")
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise _failed(f"{handler}: calling {describe(factory)} failed", error) from None


def _failed(what: str, error: BaseException) -> ApplicationError:
    frames: TracebackType | None = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OUR_FRAMES):
        frames = frames.tb_next
    report = "".join(traceback.format_exception(type(error), error, frames))
    summary = f"{type(error).__name__}: {error}".partition("\n")[0].removesuffix(": ")
    return ApplicationError(f"{what}: {summary}", report=report)


def _explain_spelling(handler: str) -> str:
    path, _, attribute = handler.partition(":")
    if "/" in path or path.endswith(".py"):
        module = path.removesuffix(".py").strip("./").replace("/", ".")
        return f"is a file; its module is named {module}:{attribute or 'app'}"
    return 'is not of the form "package.module:attribute"'


def _explain_type(found: object, *, factory: bool) -> str:
    what = f"{'returned an object' if factory else 'is'} {_described(found)}"
    expected = "neither a Router nor an ASGI nor a WSGI application"
    if isinstance(found, Router):
        return f"{what}, which is not called: server.interface (--interface) says something else"
    if isinstance(found, type):
        return f"is the class {found.__qualname__}, {expected}; what is served is an object of it"
    if not callable(found):
        return f"{what}, {expected}"
    advice = "server.interface (--interface) says what it is"
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # written in C, and silent about its parameters
        return f"{what}, {expected} by its parameters; {advice}"
    required = [each.name for each in parameters if each.default is each.empty]
    if required == ["scope"]:
        return f"{what}; it looks like an ASGI 2 application: wrap it in asgiref's guarantee_single_callable"
    if not required and not factory:
        return f"{what}, {expected}; if it returns one, set server.factory = true (--factory)"
    return f"{what}, {expected} by its parameters; {advice}"


def _modules_in(directory: str) -> list[str]:
    names = os.listdir(directory) if os.path.isdir(directory) else []
    return [name.removesuffix(".py") for name in names if not name.startswith((".", "_"))]


def _described(found: object) -> str:
    if inspect.isfunction(found):
        return "a function"
    return f"of type {type(found).__module__}.{type(found).__qualname__}"
