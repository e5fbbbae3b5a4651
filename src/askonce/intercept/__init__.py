"""Where calls are caught, one file a transport. What they share is `serving`; `patches` installs and restores."""
