"""A service as one connection sees it that has deadlines of its own.

Everything else is that of the service behind it, and stays so: what is read is read there, what is set is set
there. Only connections that a setup hook gave deadlines to have one; the others pay nothing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rocket_sup.service import Service

if TYPE_CHECKING:
    from rocket_sup.config import TimeoutsConfig


class TunedService(Service):
    """See the module.

    Attributes:
        timeouts, idle_s: of the connection.
    """

    def __init__(self, behind: Service, timeouts: TimeoutsConfig) -> None:
        vars(self).update(timeouts=timeouts, idle_s=timeouts.idle or math.inf, _behind=behind)

    def __getattr__(self, name: str) -> Any:  # whatever a service has
        return getattr(vars(self)["_behind"], name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(vars(self)["_behind"], name, value)
