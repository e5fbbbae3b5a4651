"""The core: what a question is, what an answer is, and what to do about them.

Nothing in this package does I/O, reads a clock, the environment or random numbers, or imports more than the
standard library. Times come in as arguments; bytes come in and go out.
"""
