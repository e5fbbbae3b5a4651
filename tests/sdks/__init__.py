"""Real SDKs, really called: a catalogue of calls and a runner for it in a process of its own."""
