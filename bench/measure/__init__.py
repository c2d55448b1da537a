"""Measures what a login costs. `bench/run.py` is the program; each case is a module of `cases`."""
