"""A lean HTTP/1.1 client: pooled keep-alive connections to one origin, on httptools and asyncio transports.

It speaks no redirects, cookies or pipelining: nobody needs them of it. It asks for no compression, and undoes
gzip and deflate where they come all the same. Proxies are tunnels. What is not strict HTTP/1.1 is refused,
and a connection that did anything unexpected is never used again.
"""

from .answer import Answer, Broken, HttpError, Unreachable, Unusable
from .pool import Connections

__all__ = ["Answer", "Broken", "Connections", "HttpError", "Unreachable", "Unusable"]
