"""`python -m rocket_sup`, the same as `rocket-sup`."""

from __future__ import annotations

import sys

from rocket_sup.cli import main

if __name__ == "__main__":
    sys.exit(main())
