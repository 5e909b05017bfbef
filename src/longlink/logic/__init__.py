"""Layer 3, logic: what each request means. One file a verb; commands.py is the table. Never sees a socket or SQL."""
