"""A server of several processes: a supervisor, one logic process that owns the store, gateways that share the ports.

    supervisor ── forks, watches, restarts, passes signals on; touches no message
      ├── logic      store, registry of sessions, delivery, commands
      ├── gateway-1  core, handshake, HTTP ── trunk ── logic
      └── gateway-N  the same

Read next: supervisor.py, then gateway.py and logic.py.
"""
