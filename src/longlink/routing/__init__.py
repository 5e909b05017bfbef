"""Layer 2, routing: who is where, and how a frame gets there. Never touches sockets, storage or logic."""
