"""The command `rocket-sup`: serve, check, explain, and talk to a running tree.

Without a command it serves: `rocket-sup app.module:app`, `rocket-sup --config rocket.toml`,
`rocket-sup serve DIR` for the files of a directory. This process
becomes the Supervisor, so nothing heavy is imported here; acceptors import the engine, and the application,
after they were forked.

Exit statuses: 0 done or stopped as asked, 1 failed, 2 wrong usage, 3 the application cannot be imported, 70
too many restarts (`EX_SOFTWARE`), 78 wrong configuration (`EX_CONFIG` of sysexits.h).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rocket_sup import __version__, commands, reloader
from rocket_sup.acceptorpool import RunAcceptor
from rocket_sup.checking import check
from rocket_sup.config_document import default_toml, explained
from rocket_sup.errors import ApplicationError, ConfigError, RocketError
from rocket_sup.flags import add_config_flag, add_option_flags, inputs_of
from rocket_sup.options import did_you_mean
from rocket_sup.supervisor import run

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_APPLICATION: Final = 3
EXIT_CONFIG: Final = 78
EXIT_INTERRUPTED: Final = 130  # as a shell says it of a process that SIGINT ended

Command = Callable[[Sequence[str]], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: without the name of the program; that of this process when None.

    Returns:
        The exit status.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    name, rest = (
        (arguments[0], arguments[1:]) if arguments and arguments[0] in COMMANDS else ("serve", arguments)
    )
    try:
        status = COMMANDS[name](rest)
        sys.stdout.flush()
        return status
    except ConfigError as error:
        _complain(*(str(problem) for problem in error.problems))
        return EXIT_CONFIG
    except ApplicationError as error:
        _complain(*filter(None, (error.report.rstrip(), str(error))))
        return EXIT_APPLICATION
    except RocketError as error:
        _complain(str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return EXIT_FAILED
    except OSError as error:
        if error.filename is None:
            raise
        _complain(f"rocket-sup: {error.filename}: {error.strerror}")  # a file the operator named
        return EXIT_FAILED


def _complain(*lines: str) -> None:
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _discard_output() -> None:
    """Give what is still buffered a place to go: the interpreter flushes it at exit, and would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def _serve(arguments: Sequence[str]) -> int:
    parser = _parser(
        "rocket-sup", "Serve an application; or run one of the commands below.", epilog=_list_of_commands()
    )
    parser.add_argument("--version", action="version", version=f"rocket-sup {__version__}")
    parser.add_argument(
        "--reload", action="store_true", help="for development: reload when a *.py file changes"
    )
    parsed = _parsed(parser, arguments)
    inputs = inputs_of(parsed, os.environ)
    if parsed.reload:
        return reloader.serve_and_reload(inputs, [each for each in arguments if each != "--reload"])
    return run(inputs.load(), inputs, _load_acceptor)


def _load_acceptor() -> RunAcceptor:
    # Called once, in the Listener: the Supervisor stays small, and acceptors find what they need imported.
    from rocket_sup.acceptor import run as run_acceptor

    return run_acceptor


def _check(arguments: Sequence[str]) -> int:
    parser = _parser("rocket-sup check", "Check the configuration, and that the application can be imported.")
    loaded = inputs_of(_parsed(parser, arguments), os.environ).load()
    print(check(loaded))
    return 0


def _config(arguments: Sequence[str]) -> int:
    parser = _parser("rocket-sup config", "Show every option, its value and where it comes from.")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--explain", action="store_true", help="every key, value and origin (this is also the default)"
    )
    what.add_argument(
        "--default", action="store_true", help="print a rocket.toml with every option at its default"
    )
    parsed = _parsed(parser, arguments)
    if parsed.default:
        print(default_toml(), end="")
    else:
        print(explained(inputs_of(parsed, os.environ).load(needs_handler=False)), end="")
    return 0


def _fetch(arguments: Sequence[str]) -> int:
    # Only here: no other command is a client, and the processes of a tree stay small.
    from rocket_sup.client.fetch import main as fetch

    return fetch(arguments)


COMMANDS: Final[Mapping[str, Command]] = {
    "serve": _serve,
    "check": _check,
    "config": _config,
    "fetch": _fetch,
    **commands.COMMANDS,
}

_SUMMARIES: Final[Mapping[str, str]] = {
    "serve": "serve an application, or the files of a directory; the same as no command",
    "check": "check the configuration and that the application can be imported",
    "config": "show every option, its value and where it comes from",
    "fetch": "ask other servers for URLs: one, or as many as a file has",
    **commands.SUMMARIES,
}


def _list_of_commands() -> str:
    lines = [f"  {name:<16} {summary}" for name, summary in _SUMMARIES.items()]
    return "\n".join(["commands (rocket-sup COMMAND --help says more):", *lines])


def _parser(name: str, description: str, *, epilog: str = "") -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        usage=f"{name} [options] [APPLICATION | DIRECTORY]",
        description=description,
        epilog=epilog,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_config_flag(parser)
    return parser


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    add_option_flags(parser)
    parsed = parser.parse_args(arguments)
    word = parsed.application
    if word is not None and ":" not in word:
        if word in COMMANDS:
            parser.error(f"a command comes first: rocket-sup {word} ...")
        if not os.path.isdir(word):
            hint = did_you_mean(word, COMMANDS)
            if not hint and "/" not in word:
                hint = f'; an application is written "{word}:app"'
            parser.error(f'"{word}" is neither a command nor an application nor a directory{hint}')
    return parsed
