"""Peers side by side: CPU per request and memory per idle connection, as ratios to a C floor.

`python -m benchmarks` does everything; `README.md` says how to read the table.
"""
