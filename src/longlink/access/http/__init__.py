"""HTTP beside the connections: calls of clients and hosts, and what operators ask. Read next: endpoints.py."""

from longlink.access.http.callers import Callers
from longlink.access.http.calls import ShortLink
from longlink.access.http.certificates import pair_bytes, server_context
from longlink.access.http.endpoints import build_http, build_operations
from longlink.access.http.places import Places
from longlink.access.http.proxies import Proxies
from longlink.access.http.server import HttpServer, serve_http
from longlink.access.http.strangers import Strangers

__all__ = [
    "Callers",
    "HttpServer",
    "Places",
    "Proxies",
    "ShortLink",
    "Strangers",
    "build_http",
    "build_operations",
    "pair_bytes",
    "serve_http",
    "server_context",
]
