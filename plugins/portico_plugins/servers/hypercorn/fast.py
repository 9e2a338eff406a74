"""The fast lane: one HTTP/1.1 connection as an asyncio protocol, without a task of its own.

A request is answered by the kernel directly where it admits that, and by the ASGI application otherwise. The
next one is looked at when the answer has ended; meanwhile up to 64 KiB of it are kept, then nothing is read.

A client that ends its side of the connection while it waits is given half a second: an answer that is ready by
then still reaches it. After that it counts as gone, for TCP does not tell a half-closed client from one that
has left. A reset tells at once.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any, Final, Protocol, cast
from urllib.parse import unquote

from portico.api import Admission, Scope
from portico_plugins.servers.hypercorn.answer import Answer, Headers, head_bytes
from portico_plugins.servers.hypercorn.asgicall import AsgiCall
from portico_plugins.servers.hypercorn.head import Head, Malformed
from portico_plugins.servers.hypercorn.incoming import Incoming
from portico_plugins.servers.hypercorn.service import Service, address
from portico_plugins.servers.hypercorn.timing import Deadlines

