"""One file a figure: `measure(plan, round)` gives its numbers by name. What they mean and should be: ../targets.py."""
