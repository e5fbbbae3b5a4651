"""What runs the core: storage, clock and waiting, for sync and async callers. No HTTP library is known here."""
