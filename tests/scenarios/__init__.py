"""What a client meets: a real server process, real sockets, raw frames. One file is one chapter. Read next: raw.py."""
