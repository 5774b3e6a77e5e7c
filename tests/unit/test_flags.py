"""Flags: made from the options, named as elsewhere, read into texts for the loader."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pytest

from rocket_sup.config import SECTIONS, options_of
from rocket_sup.config_load import Inputs
from rocket_sup.config_proxy import ProxyConfig
from rocket_sup.flags import add_config_flag, add_option_flags, inputs_of

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def parser() -> argparse.ArgumentParser:
    """A parser with all flags."""
    made = argparse.ArgumentParser(allow_abbrev=False)
    add_config_flag(made)
    add_option_flags(made)
    return made


def inputs(*arguments: str) -> Inputs:
    """What a command line is turned into."""
    return inputs_of(parser().parse_args(arguments), {"A": "1"})


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {}),
        (["app:app"], {"server.handler": "app:app"}),
        (["--handler", "a:b"], {"server.handler": "a:b"}),
        (["--handler", "a:b", "c:d"], {"server.handler": "c:d"}),
        (["--host", "::1", "--port", "9"], {"server.host": "::1", "server.port": "9"}),
        (["-p", "9"], {"server.port": "9"}),
        (["-b", "fd:3", "--bind", "[::]:80"], {"server.bind": ["fd:3", "[::]:80"]}),
        (["--uds", "/run/a", "--fd", "3"], {"server.bind": ["unix:/run/a", "fd:3"]}),
        (["--workers", "4"], {"server.num_acceptors": "4"}),
        (["-w", "4"], {"server.num_acceptors": "4"}),
        (["--num-acceptors=4"], {"server.num_acceptors": "4"}),
        (["--max-body", "2M"], {"server.max_body": "2M"}),
        (["--overload", "rejct"], {"server.overload": "rejct"}),
        (["--factory"], {"server.factory": "true"}),
        (["--access-log"], {"log.access": "combined"}),
        (["--access-log", "json"], {"log.access": "json"}),
        (["--no-access-log"], {"log.access": "off"}),
        (["--limit-max-requests", "5"], {"acceptor.max_requests": "5"}),
        (["--timeout-keep-alive", "5"], {"timeouts.idle": "5"}),
        (["--graceful-timeout", "5"], {"timeouts.drain": "5"}),
        (["--timeout-graceful-shutdown", "5"], {"timeouts.drain": "5"}),
    ],
)
def test_a_flag_sets_its_option(arguments: Sequence[str], expected: dict[str, object]) -> None:
    """As text: the loader judges it, with all other mistakes."""
    assert expected == inputs(*arguments).arguments


def test_the_environment_is_kept_as_it_was() -> None:
    """A reload sees what the start saw."""
    assert {"A": "1"} == inputs().environment


def test_a_file_is_found_where_it_is_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rocket.toml` here, unless a file or an application is named."""
    monkeypatch.chdir(tmp_path)
    before = inputs().path
    Path("rocket.toml").touch()

    assert (None, Path("rocket.toml"), None, Path("x.toml"), Path("x.toml")) == (
        before,
        inputs().path,
        inputs("app:app").path,
        inputs("-c", "x.toml").path,
        inputs("--config", "x.toml", "app:app").path,
    )


def test_flags_are_not_abbreviated() -> None:
    """A script that says --work would break when --workdir comes."""
    with pytest.raises(SystemExit):
        parser().parse_args(["--max-bod", "1"])


def test_the_help_says_unit_and_range() -> None:
    """And a percent sign in it does not break argparse."""
    text = " ".join(parser().format_help().split())

    assert "(0 to 86400 seconds; 0: off)" in text
    assert "--num-acceptors N, --workers N, -w N" in text


def test_every_flag_is_on_its_page() -> None:
    """docs/command-line.md leaves none out."""
    text = PAGE.read_text()
    flags = {
        flag
        for section in SECTIONS.values()
        for described in options_of(section).values()
        for flag in described.flags
    }

    assert set() == {flag for flag in flags | {"--uds", "--fd", "--no-access-log"} if flag not in text}


def test_proxy_flags_are_those_of_uvicorn() -> None:
    """A switch, its opposite, and a list with commas."""
    flags = ["--proxy-headers", "--forwarded-allow-ips", "10.0.0.0/8,unix"]

    assert inputs("a:app", *flags).load().config.proxy == ProxyConfig(
        headers="x-forwarded", trusted=("10.0.0.0/8", "unix")
    )
    assert inputs("a:app", "--no-proxy-headers").load().config.proxy.headers == "off"


def test_a_word_without_a_colon_is_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then a file that happens to be here does not matter."""
    monkeypatch.chdir(tmp_path)
    Path("rocket.toml").touch()
    found = inputs("public", "--spa")

    assert (None, {"files.directory": "public", "files.spa": "true"}) == (found.path, found.arguments)
