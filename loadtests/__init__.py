"""Load for a running server: Locust profiles, and a constant-rate driver with honest percentiles.

Nothing here is part of the installed package, and nothing here imports it: the load knows a server by its
address only. `README.md` says which tool answers which question.
"""
