"""What `longlink bench` does: a file per action, `arguments(parser)` and `run(options) -> int` like a command's.

Here the connection core runs without the layers above it, so it has an audience of measurements and tests only.
Read next: serve.py; ../cli/bench.py, the command.
"""
