"""Ratios measured side by side in one run: `python -m benchmarks`, or `make bench`.

Nothing here promises an absolute time. What is compared runs in turns (A B A B, in random order each round), is
measured in CPU time where it computes and in wall time where it waits, and is given as a median with its 95 %
bootstrap interval. A target that is not met is printed as not met.
"""
