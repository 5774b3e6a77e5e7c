"""Does not import: a failed deploy."""

raise RuntimeError("this deploy is broken on purpose")
