"""Layer 0, the wire: frames in memory, their two encodings, the states, the rules of fields. No I/O, no clock."""
