"""Recordings of test suites: what the pytest plugin does once a test asks for it.

The plugin itself is `pytest_askonce`, which is imported by every pytest and therefore imports nothing of this.
"""
