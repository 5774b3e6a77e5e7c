"""The flags of the command line, made from the options of the configuration.

An option that names flags gets them, with its own help, unit and range; where uvicorn, gunicorn or granian
have a flag for the same thing, the name is theirs. Values stay texts here: `config_load` reads them with
those of the file and the environment, so that all mistakes are reported together and in one form.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rocket_sup.config import SECTIONS, options_of
from rocket_sup.config_load import Inputs
from rocket_sup.options import Kind, Option

DEFAULT_FILE: Final = "rocket.toml"


def add_config_flag(parser: argparse.ArgumentParser) -> None:
    """Add `--config`."""
    parser.add_argument("-c", "--config", metavar="FILE", help="the configuration, usually rocket.toml")


def add_option_flags(parser: argparse.ArgumentParser) -> None:
    """Add the application, and the flags of all options."""
    parser.add_argument(
        "application",
        nargs="?",
        metavar="APPLICATION",
        help='what to serve: "package.module:attribute", or a directory of files; server.handler of the file'
        " when left out",
    )
    for name, section in SECTIONS.items():
        described = {key: each for key, each in options_of(section).items() if _flags_of(each)}
        if not described:
            continue
        group = parser.add_argument_group(f"[{name}]")
        for key, each in described.items():
            _add(group, f"{name}.{key}", each)
        if name == "server":
            _add_address_flags(group)


def inputs_of(parsed: argparse.Namespace, environment: Mapping[str, str]) -> Inputs:
    """Turn parsed flags into what a configuration is read from.

    An application has a colon, a directory has none. With neither a file nor one of these named,
    `rocket.toml` in the working directory is taken if there.
    """
    arguments = {dest: value for dest, value in vars(parsed).items() if "." in dest}
    if parsed.application is not None:
        is_directory = ":" not in parsed.application
        arguments["files.directory" if is_directory else "server.handler"] = parsed.application
    path = None if parsed.config is None else Path(parsed.config)
    is_named = "server.handler" in arguments or "files.directory" in arguments
    if path is None and not is_named and Path(DEFAULT_FILE).is_file():
        path = Path(DEFAULT_FILE)
    return Inputs(path, dict(environment), arguments)


def _flags_of(described: Option) -> list[str]:
    return [flag for flag in described.flags if flag.startswith("-")]


def _add(group: argparse._ArgumentGroup, key: str, described: Option) -> None:
    flags, text = _flags_of(described), _help(described)
    if key == "log.access":
        group.add_argument(
            *flags,
            dest=key,
            nargs="?",
            const="combined",
            metavar="FORMAT",
            default=argparse.SUPPRESS,
            help=text,
        )
        group.add_argument(
            "--no-access-log",
            dest=key,
            action="store_const",
            const="off",
            default=argparse.SUPPRESS,
            help="the same as --access-log off",
        )
    elif key == "proxy.headers":  # as uvicorn has them: a switch, and its opposite
        group.add_argument(
            *flags,
            dest=key,
            action="store_const",
            const="x-forwarded",
            default=argparse.SUPPRESS,
            help='the same as proxy.headers = "x-forwarded"',
        )
        group.add_argument(
            "--no-proxy-headers",
            dest=key,
            action="store_const",
            const="off",
            default=argparse.SUPPRESS,
            help='the same as proxy.headers = "off"',
        )
    elif described.kind is Kind.BOOLEAN:
        group.add_argument(
            *flags, dest=key, action="store_const", const="true", default=argparse.SUPPRESS, help=text
        )
    else:
        group.add_argument(
            *flags,
            dest=key,
            action="append" if key == "server.bind" else "store",  # other lists have commas
            metavar=_metavar(key, described),
            default=argparse.SUPPRESS,
            help=text,
        )


def _add_address_flags(group: argparse._ArgumentGroup) -> None:
    for flag, scheme, metavar, meaning in (
        ("--uds", "unix", "PATH", "listen on a Unix socket; the same as --bind unix:PATH"),
        ("--fd", "fd", "N", "listen on an inherited descriptor; the same as --bind fd:N"),
    ):
        group.add_argument(
            flag,
            dest="server.bind",
            action="append",
            type=f"{scheme}:{{}}".format,
            metavar=metavar,
            default=argparse.SUPPRESS,
            help=meaning,
        )


def _metavar(key: str, described: Option) -> str:
    if described.choices:
        return "|".join(described.choices)
    if described.kind is Kind.LIST:
        return "ADDRESS" if key == "server.bind" else "ADDRESSES"
    if described.unit == "seconds":
        return "SECONDS"
    names = {
        "server.host": "ADDRESS",
        "server.app_dir": "DIR",
        "server.handler": "APPLICATION",
        "files.directory": "DIR",
        "files.cache_control": "FIELD",
    }
    return names.get(key, "N")


def _help(described: Option) -> str:
    facts = []
    if described.kind in (Kind.INTEGER, Kind.NUMBER, Kind.BYTES) and described.minimum is not None:
        facts.append(f"{described.range_text()} {described.unit}".strip())
    if described.special:
        facts.append(described.special)
    text = described.help + (f" ({'; '.join(facts)})" if facts else "")
    return text.replace("%", "%%")
