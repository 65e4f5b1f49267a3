"""Where a server listens that checks are to ask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_LONGEST = 2000


@dataclass(frozen=True)
class Server:
    """Host, port, the path below which the server answers, and whether it is asked through TLS."""

    host: str
    port: int
    path: str = ""
    is_tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}{self.path}"

    def below_v1(self) -> Server:
        """Return the same server with the path at which the OpenAI protocol starts, which users leave out at times."""
        return self if self.path.endswith("/v1") else replace(self, path=f"{self.path}/v1")


def read_server(text: str) -> Server:
    """Return the server of an URL such as ``http://127.0.0.1:8000/v1``; ValueError for what is no such URL."""
    if len(text) > _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("not an URL")
    url = urlsplit(text)
    port = url.port or _PORTS.get(url.scheme)
    if port is None or not url.hostname:
        raise ValueError("no http or https and host")
    if url.username is not None or url.password is not None:
        raise ValueError("a name or password in it")
    if url.query or url.fragment:
        raise ValueError("a query or fragment in it")
    return Server(url.hostname, port, url.path.rstrip("/"), url.scheme == "https")
