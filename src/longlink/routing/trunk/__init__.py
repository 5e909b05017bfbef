"""The trunk: the connection of a gateway process with logic on the same machine. Read next: frames.py."""
