"""HTTP beside the long link: what operators and their machines ask. Read next: endpoints.py, server.py."""

from longlink.access.http.endpoints import build_http
from longlink.access.http.server import HttpServer, serve_http

__all__ = ["HttpServer", "build_http", "serve_http"]
