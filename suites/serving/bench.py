"""The servers that checks share, started on first use and replaced when one died."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_trtcheck._suites.serving import repository
from pytest_trtcheck._suites.serving.backend_releases import Layout, layout, releases
from pytest_trtcheck._suites.serving.checking import NotRun, Wrong
from pytest_trtcheck._suites.serving.endpoint import Endpoint
from pytest_trtcheck._suites.serving.installation import Installation
from pytest_trtcheck._suites.serving.llm_repository import llm_models
from pytest_trtcheck._suites.serving.repository import Model
from pytest_trtcheck._suites.serving.server import Server, ServerError
from pytest_trtcheck._suites.serving.starting import start_server
from pytest_trtcheck.model.report import Reason

if TYPE_CHECKING:
    from pytest_trtcheck._suites.serving.grpc_client import GrpcClient

NO_GRPC = "needs tritonclient with gRPC: pip install 'tritonclient[grpc]'"
NO_TORCH = "needs torch, to run the probe model in the server: install it for the Python that runs pytest"

Front = Callable[[Endpoint], Endpoint]
Change = Callable[[Model], Model]


class Bench:
    """Holds one server at a time for each purpose."""

    def __init__(
        self,
        installation: Installation,
        *,
        has_torch: bool = False,
        release: str = "",
        change: Change | None = None,
        only: frozenset[str] = frozenset(),
        front: Front | None = None,
        seed: int = 0,
        limits: Mapping[str, float] | None = None,
    ) -> None:
        """Take the server's installation.

        ``release`` of the TensorRT-LLM backend decides the layout of the LLM models: the newest for none. For the
        proof, ``change`` changes models, ``only`` leaves out those of the main server that are not named, and ``front``
        puts something between client and server.
        """
        self.installation = installation
        self.has_torch = has_torch
        self.release = release or releases()[-1]
        self.change = change
        self.only = only
        self.front = front
        self.seed = seed
        self.limits = limits or {}
        """The user's own, by the name of the measurement that they are for."""
        self._servers: dict[str, Server] = {}
        self._fronts: dict[str, Endpoint] = {}
        self._clients: dict[str, GrpcClient] = {}
        self.release_of_server = installation.version or ""
        """As the server says when it runs."""
        self.facts: list[str] = []
        """What the running check learned of the server, for its readers; emptied before each check."""
        self.known: list[str] = []
        """What the running check met of the server's known behaviours; emptied before each check."""

    # Servers.

    def server(self, purpose: str, *, replace: bool = True) -> Server:
        """Return the server for ``main``, ``trouble``, ``llm`` or ``llm-plain``; a dead one is replaced, or not."""
        server = self._servers.get(purpose)
        if server is not None and (server.is_alive() or not replace):
            return server
        if server is not None:
            self.drop(purpose)
        return self._start(purpose)

    def _start(self, purpose: str) -> Server:
        models, options = self._what(purpose)
        try:
            server = self.launch(models, options)
        except ServerError as error:
            if purpose.startswith("llm") and "No module named 'torch'" in str(error):
                raise NotRun(Reason.MISSING_COMPONENT, f"the Python of the server's models: {NO_TORCH}") from None
            raise
        self._servers[purpose] = server
        self._fronts[purpose] = self.fronted(server)
        return server

    def stand_behind(self, front: Front | None) -> None:
        """Put something else, or nothing, between client and servers, those that run too."""
        self.front = front
        self._fronts = {purpose: self.fronted(server) for purpose, server in self._servers.items()}

    def fronted(self, server: Server) -> Endpoint:
        """Return what a client asks: the server itself, or what the proof puts in front of it."""
        return self.front(server.endpoint) if self.front else server.endpoint

    def _what(self, purpose: str) -> tuple[list[Model], list[str]]:
        if purpose == "main":
            models = [model for model in repository.main_models() if not self.only or model.name in self.only]
            return models, self.main_options()
        models = (
            llm_models(self.release, decoupled=purpose == "llm")
            if purpose.startswith("llm")
            else repository.trouble_models()
        )
        return models, ["--disable-auto-complete-config"]

    def llm_layout(self, model: str) -> Layout:
        """Return what a model of the LLM repository declares."""
        return layout(model, self.release)

    @property
    def llm_excludes_input(self) -> bool:
        """True where answers come without the prompt: our configuration says so from 0.6 on."""
        return "exclude_input_in_output" in self.llm_layout("tensorrt_llm").parameters

    def launch(self, models: list[Model], options: list[str], *, wait: bool = True) -> Server:
        """Start a server that the caller must stop."""
        changed = [self.change(model) for model in models] if self.change else models
        server = start_server(self.installation, repository.files_of(changed), options, wait=wait)
        if wait and not self.release_of_server:
            self.release_of_server = str(server.endpoint.get("/v2").get("version", ""))
        return server

    def main_options(self) -> list[str]:
        """Return the options of the main server: a response cache where the installation has one."""
        loaded = [name for name in repository.LOADED_AT_START if not self.only or name in self.only]
        options = [*repository.MAIN_OPTIONS, *(f"--load-model={name}" for name in loaded)]
        if self.has_cache:
            options += [
                f"--cache-config=local,size={repository.CACHE_BYTES}",
                f"--cache-directory={self.installation.caches}",
            ]
        return options

    @cached_property
    def has_cache(self) -> bool:
        """True when the installation has the local response cache."""
        return (self.installation.caches / "local" / "libtritoncache_local.so").is_file()

    def drop(self, purpose: str) -> list[str]:
        """Stop the server for a purpose and return what it left."""
        client = self._clients.pop(purpose, None)
        if client is not None:
            client.close()
        self._fronts.pop(purpose, None)
        server = self._servers.pop(purpose, None)
        return server.stop() if server is not None else []

    def abandon(self, purpose: str) -> None:
        """End the server for a purpose at once: one whose model hangs takes half a minute to end by itself."""
        server = self._servers.get(purpose)
        if server is not None:
            server.discard()
        self.drop(purpose)

    def close(self) -> None:
        """Stop all servers, side by side: each takes seconds to end."""
        purposes = list(self._servers)
        with ThreadPoolExecutor(max(1, len(purposes))) as pool:
            list(pool.map(self.drop, purposes))

    def discard(self) -> None:
        """End all servers at once, without asking."""
        for purpose in list(self._servers):
            self.abandon(purpose)

    # Clients.

    def http(self, purpose: str = "main") -> Endpoint:
        """Return the HTTP interface of a server."""
        self.server(purpose)
        return self._fronts[purpose]

    def grpc(self, purpose: str = "main") -> GrpcClient:
        """Return a gRPC client of a server; NotRun where tritonclient is not installed."""
        server = self.server(purpose)
        if purpose not in self._clients:
            try:
                from pytest_trtcheck._suites.serving.grpc_client import GrpcClient

                self._clients[purpose] = GrpcClient(server.endpoint.grpc_address)
            except ImportError as error:
                raise NotRun(Reason.MISSING_COMPONENT, f"{NO_GRPC} ({error})") from None
        return self._clients[purpose]

    def alive(self, purpose: str = "main") -> None:
        """Raise Wrong when a server died."""
        server = self._servers.get(purpose)
        if server is not None and not server.is_alive():
            raise Wrong(server.death())

    def with_death(self, words: str) -> str:
        """Return what was found wrong, with the death of each server that died over it."""
        return "; ".join([words, *(death for death in self.deaths() if death not in words)])

    def deaths(self) -> list[str]:
        """Return the death of each server that is dead, in words."""
        return [server.death() for server in self._servers.values() if not server.is_alive()]


def wait_until(condition: Callable[[], bool], seconds: float, step: float = 0.02) -> bool:
    """Return True as soon as a condition holds, False when it does not within this time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(step)
    return True
