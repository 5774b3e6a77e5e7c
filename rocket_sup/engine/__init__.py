"""Engines: what accepts, receives, parses, calls handlers and sends, behind one contract."""
