"""The engine under real clients: identical calls in flight, streams that end in every way, forks, crowds."""
