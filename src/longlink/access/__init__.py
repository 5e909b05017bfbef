"""Layer 1, access: the connection core, the gateway in front of it, tokens and HTTP. Never imports logic or storage."""
