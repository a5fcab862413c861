"""Compares assistants with plain `create_agent`: `python -m benchmarks --help`.

Both sides play the same scripted conversation in one run, in turns, so that a slow or
busy machine slows both. Nothing here fails because of time, unless `--strict` is given.
"""
