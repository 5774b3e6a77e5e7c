"""Reading the configuration: three layers, every mistake with its place."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rocket_sup.config import ChildConfig, Config
from rocket_sup.config_load import Inputs, Loaded, load
from rocket_sup.errors import ConfigError

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a rocket.toml into the working directory, so that errors name it shortly."""
    monkeypatch.chdir(tmp_path)

    def write(text: str) -> Path:
        path = Path("rocket.toml")
        path.write_text(textwrap.dedent(text))
        return path

    return write


def problems(
    path: Path | None,
    *,
    environment: Mapping[str, str] | None = None,
    arguments: Mapping[str, object] | None = None,
) -> list[str]:
    """All mistakes, as the operator reads them."""
    with pytest.raises(ConfigError) as caught:
        load(path, environment=environment or {}, arguments=arguments or {})
    return [str(problem) for problem in caught.value.problems]


def with_app(path: Path | None = None, **environment: str) -> Loaded:
    """Load with an application named."""
    return load(path, environment=environment, arguments={"server.handler": "app:app"})


def test_nothing_but_an_application_gives_the_defaults() -> None:
    """`rocket-sup app:app` needs no file."""
    loaded = with_app()

    assert Config().limits == loaded.config.limits
    assert ("argument APPLICATION", "default") == (
        loaded.origins["server.handler"],
        loaded.origins["server.port"],
    )


def test_the_environment_overrides_the_file_and_arguments_override_both(write: Write) -> None:
    """Three layers over the defaults, and each value knows where it came from."""
    path = write("""\
        [server]
        handler = "app:app"
        port = 1
        backlog = 1
        max_body = "1K"
        """)

    loaded = load(
        path,
        environment={"ROCKET_SERVER_PORT": "2", "ROCKET_SERVER_BACKLOG": "2", "ROCKET_LOG_LEVEL": "debug"},
        arguments={"server.port": "3"},
    )

    server = loaded.config.server
    assert (3, 2, 1024, "debug") == (server.port, server.backlog, server.max_body, loaded.config.log.level)
    assert {
        "server.handler": "rocket.toml:2",
        "server.port": "argument --port",
        "server.backlog": "environment ROCKET_SERVER_BACKLOG",
        "server.max_body": "rocket.toml:5",
        "server.host": "default",
        "log.level": "environment ROCKET_LOG_LEVEL",
    }.items() <= loaded.origins.items()


def test_well_known_variables_count_and_the_deliberate_name_wins() -> None:
    """PORT and WEB_CONCURRENCY are what platforms set; ROCKET_SERVER_PORT is what an operator set."""
    loaded = with_app(PORT="81", WEB_CONCURRENCY="3", ROCKET_SERVER_PORT="82")

    assert (82, 3) == (loaded.config.server.port, loaded.config.server.num_acceptors)
    assert "environment WEB_CONCURRENCY" == loaded.origins["server.num_acceptors"]


def test_an_empty_variable_is_unset() -> None:
    """Compose files and shells leave variables empty that were never meant."""
    assert 8080 == with_app(PORT="", ROCKET_SERVER_PORT="").config.server.port


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({}, {}, ("fd:3",)),
        ({"PORT": "81"}, {}, ()),
        ({}, {"server.host": "::1"}, ()),
        ({"PORT": "81"}, {"server.bind": ["fd:4"]}, ("fd:4",)),
        ({"ROCKET_SERVER_BIND": "fd:4, fd:5"}, {}, ("fd:4", "fd:5")),
        ({"ROCKET_SERVER_BIND": "fd:4", "PORT": "81"}, {}, ("fd:4",)),
    ],
)
def test_the_nearest_word_on_the_address_wins(
    write: Write, environment: Mapping[str, str], arguments: Mapping[str, object], expected: tuple[str, ...]
) -> None:
    """A port of a higher layer is not silently ignored because the file has a bind."""
    path = write('[server]\nhandler = "app:app"\nbind = ["fd:3"]\n')

    assert expected == load(path, environment=environment, arguments=arguments).config.server.bind


def test_children_are_read_with_their_origins(write: Write) -> None:
    """Every key of a child, and where it was written."""
    path = write("""\
        [[children]]
        name = "queue"
        command = "sh -c 'exec true'"
        shutdown = "infinity"
        env = { A = "1" }
        [[children]]
        name = "other"
        command = ["sh"]
        """)

    loaded = with_app(path)

    assert (
        ChildConfig(name="queue", command=("sh", "-c", "exec true"), shutdown="infinity", env={"A": "1"}),
        ChildConfig(name="other", command=("sh",)),
    ) == loaded.config.children
    assert ("rocket.toml:8", "default") == (
        loaded.origins["children[1].command"],
        loaded.origins["children[1].restart"],
    )


def test_a_section_within_a_section(write: Write) -> None:
    """From the file, the environment and the arguments, each with its place."""
    path = write("""\
        [engine]
        io_uring = { entries = 64 }
        """)
    loaded = with_app(path, ROCKET_ENGINE_IO_URING_BUFFERS="32")

    assert (64, 32) == (loaded.config.engine_io_uring.entries, loaded.config.engine_io_uring.buffers)
    assert ("rocket.toml:2", "environment ROCKET_ENGINE_IO_URING_BUFFERS", "default") == tuple(
        loaded.origins[f"engine.io_uring.{key}"] for key in ("entries", "buffers", "batch")
    )
    dotted = write("[engine.io_uring]\nentries = 64\n")
    assert 64 == with_app(dotted).config.engine_io_uring.entries


def test_every_mistake_is_reported_at_once(write: Write) -> None:
    """File, line, key, value, range and the nearest right name, for all of them, from all layers."""
    path = write("""\
        prot = 1
        [server]
        handler = "app:app"
        prot = 9
        port = 99999
        overload = "wiat"
        idle = 3
        [sever]
        x = 1
        [qqq]
        [limits]
        zzzzzz = 1
        head.x = 5
        [[children]]
        name = "a"
        command = "sh"
        restart = "perm"
        [[children]]
        name = "a"
        comand = ["sh"]
        """)

    assert [
        'rocket.toml:1: prot: stands before any section; did you mean "port"?',
        'rocket.toml:4: server.prot: there is no such key; did you mean "port"?',
        "rocket.toml:5: server.port: 99999 is outside the range 0 to 65535",
        'rocket.toml:6: server.overload: "wiat" is not "wait" or "reject"; did you mean "wait"?',
        "rocket.toml:7: server.idle: there is no such key here; it belongs to [timeouts]",
        'rocket.toml:8: sever: there is no section [sever]; did you mean "server"?',
        "rocket.toml:10: qqq: there is no section [qqq]; there are server, files, limits, timeouts,"
        " supervisor, acceptor, proxy, log, control, websocket, engine.io_uring, children",
        "rocket.toml:12: limits.zzzzzz: there is no such key; there are request_line, head, headers,"
        " pipeline, chunk_extensions, trailers",
        'rocket.toml:13: limits.head: {\'x\': 5} is not a size such as 1048576, "512K", "16M" or "1G"'
        " (256 to 16M bytes)",
        'rocket.toml:17: children[0].restart: "perm" is not "permanent", "transient" or "temporary";'
        ' did you mean "permanent"?',
        'rocket.toml:20: children[1].comand: there is no such key; did you mean "command"?',
        "rocket.toml:18: children[1].command: is missing, and is required",
        'environment PORT: server.port: "x" is not an integer (0 to 65535)',
        "environment ROCKET_LOG_LEVLE: ROCKET_LOG_LEVLE: names no option; did you mean ROCKET_LOG_LEVEL?",
        "argument --backlog: server.backlog: 0 is outside the range 1 to 65535",
        'rocket.toml:19: children[1].name: "a" is already the name of children[0]',
    ] == problems(
        path, environment={"PORT": "x", "ROCKET_LOG_LEVLE": "debug"}, arguments={"server.backlog": 0}
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server\n", "rocket.toml:1: syntax: Expected ']' at the end of a table declaration (column 8)"),
        ("[server]\nport = \n", "rocket.toml:2: syntax: Invalid value (column 8)"),
        ("[a]\n[b]\n[a]\n", "rocket.toml:3: syntax: Cannot declare ('a',) twice (column 3)"),
        ('[server]\nhandler = "x', "rocket.toml:2: syntax: Unterminated string"),
        ("server = 1\n", "rocket.toml:1: server: is a section; write [server] and its keys below"),
        (
            "[engine]\nentries = 1\n",
            "rocket.toml:2: engine.entries: [engine] has sections only; it belongs to [engine.io_uring]",
        ),
        (
            "[engine.iouring]\n",
            "rocket.toml:1: engine.iouring: there is no section [engine.iouring];"
            ' did you mean "engine.io_uring"?',
        ),
        (
            "[engine.io_uring]\nbufers = 1\n",
            'rocket.toml:2: engine.io_uring.bufers: there is no such key; did you mean "buffers"?',
        ),
        (
            "[engine]\nio_uring = 1\n",
            "rocket.toml:2: engine.io_uring: is a section; write [engine.io_uring] and its keys below",
        ),
        ("port = 1\n", "rocket.toml:1: port: stands before any section; it belongs to [server]"),
        (
            "\nchildren = 1\n",
            "rocket.toml:2: children: is a list of tables; write [[children]] before each of them",
        ),
    ],
)
def test_mistakes_of_form_have_a_line(write: Write, text: str, expected: str) -> None:
    """What TOML itself refuses is told with its line, too."""
    assert expected == problems(write(text), arguments={"server.handler": "app:app"})[0]


def test_a_file_that_cannot_be_read_is_told(write: Write) -> None:
    """Missing, a directory, or not text."""
    Path("binary.toml").write_bytes(b"# caf\xe9 is latin-1\n")
    Path("second.toml").write_bytes(b"# fine\n# \xff\n")

    assert ["missing.toml: file: cannot be read: No such file or directory"] == problems(
        Path("missing.toml"), arguments={"server.handler": "app:app"}
    )
    assert "second.toml:2: file: is not UTF-8, as TOML must be" in problems(Path("second.toml"))
    assert "binary.toml:1: file: is not UTF-8, as TOML must be" in problems(Path("binary.toml"))


def test_a_missing_application_is_a_mistake_only_where_it_is_needed(write: Write) -> None:
    """`status` finds its socket by a file that names no application."""
    path = write("[server]\n")

    assert [
        'rocket.toml: server.handler: no application is named; write handler = "package.module:attribute",'
        " or name it as the argument"
    ] == problems(path)
    assert "" == load(path, environment={}, arguments={}, needs_handler=False).config.server.handler


def test_a_wrong_value_is_told_once(write: Write) -> None:
    """The checks that compare options do not complain again about a key that could not be read."""
    path = write('[server]\nhandler = 1\n[[children]]\nname = 5\ncommand = "sh"\n')

    assert [
        "rocket.toml:2: server.handler: 1 is not text in quotes",
        "rocket.toml:4: children[0].name: 5 is not text in quotes",
    ] == problems(path)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ROCKET_CHAT_URL", "http://x"),
        ("ROCKET_PROFILE", "debug"),
        ("ROCKET_SERVER_SERVICE_HOST", "10.0.0.1"),
        ("ROCKET_SERVER_SERVICE_PORT_HTTP", "80"),
        ("ROCKET_SERVER_PORT_80_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_variables_of_others_are_left_alone(variable: str, value: str) -> None:
    """Other programs, and Kubernetes for a service called rocket-server, use names that begin like ours."""
    assert 8080 == with_app(None, **{variable: value}).config.server.port


def test_the_variable_kubernetes_puts_over_ours_is_explained() -> None:
    """A service called rocket-server makes ROCKET_SERVER_PORT mean something else."""
    (problem,) = problems(
        None, environment={"ROCKET_SERVER_PORT": "tcp://10.0.0.1:80"}, arguments={"server.handler": "app:app"}
    )

    assert problem.endswith(
        "Kubernetes sets this for a service of that name: enableServiceLinks: false turns it off"
    )


def test_an_unknown_variable_of_a_known_section_is_a_mistake() -> None:
    """ROCKET_SERVER_... was meant for us, however it goes on."""
    assert ["environment ROCKET_SERVER_QQQQQ: ROCKET_SERVER_QQQQQ: names no option"] == [
        problem.partition(";")[0]
        for problem in problems(
            None, environment={"ROCKET_SERVER_QQQQQ": "1"}, arguments={"server.handler": "app:app"}
        )
    ]


def test_inputs_can_be_read_again(write: Write) -> None:
    """A reload sees what the file says now."""
    inputs = Inputs(write('[server]\nhandler = "app:app"\nport = 1\n'), {}, {})
    first = inputs.load().config.server.port
    write("[server]\nport = 2\n")

    assert (1, 2) == (first, inputs.load(needs_handler=False).config.server.port)
