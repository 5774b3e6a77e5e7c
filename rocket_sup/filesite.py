"""The application of `rocket-sup serve DIR`: one directory at the root of all paths."""

from __future__ import annotations

from rocket_sup.config_files import FilesConfig
from rocket_sup.errors import ApplicationError, LocalProtocolError
from rocket_sup.pattern import RouteError
from rocket_sup.router import Router


def make_file_site(files: FilesConfig) -> Router:
    """Make a frozen router of the configured directory.

    Raises:
        ApplicationError: the directory cannot be served.
    """
    router = Router()
    try:
        router.static(
            "/",
            files.directory,
            index=files.index or None,
            html=files.html,
            spa=files.spa,
            listing=files.listing,
            cache_control=files.cache_control or None,
            precompressed=files.precompressed,
            follow_symlinks=files.follow_symlinks,
            dotfiles=files.dotfiles,
        )
    except (RouteError, LocalProtocolError) as error:
        raise ApplicationError(str(error)) from None
    router.freeze()
    return router
