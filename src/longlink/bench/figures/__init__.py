"""What is measured: one file a figure, each with NAME, SUMMARY, ROUNDS, FLAGS and measure(run) -> numbers of one round.

The names of the numbers are those of ../table.py, without the figure's own. Read next: echo.py, the shortest.
"""
