"""The built-in engine with quantized layers and a quantized cache, fake-quantized: see ``fake``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from pytest_trtcheck._suites.probe_llm.engine.kv import Shape, Store
from pytest_trtcheck._suites.probe_llm.engine.model import Linear, LinearFactory, plain_linear
from pytest_trtcheck._suites.probe_llm.engine.session import Session
from pytest_trtcheck._suites.quantization.algorithms import algorithm_of
from pytest_trtcheck._suites.quantization.calibration import SEED, Calibration, calibrate
from pytest_trtcheck._suites.quantization.fake import Convention, QuantizedStore, Quantizer, is_calibrated, kv_scales
from pytest_trtcheck.providers import Model, Request, Setup
from pytest_trtcheck.rules.quantization import Algorithm

SLOTS = 64
KV_TOKENS = 32_768


class QuantizedSession(Session):
    """An open engine whose layers and cache are rounded as the setup's algorithm rounds them."""

    quantizer_class: type[Quantizer] = Quantizer
    quantized_store_class: type[QuantizedStore] = QuantizedStore
    convention = Convention()

    def __init__(self, setup: Setup, model: Model, device: str) -> None:
        self._through: dict[str, tuple[torch.Tensor, torch.Tensor]] | None = None
        super().__init__(
            replace(setup, slots=setup.slots or SLOTS, kv_tokens=setup.kv_tokens or KV_TOKENS), model, device
        )

    def calibration(self, algorithm: Algorithm | None = None) -> Calibration:
        """Return what fixed scales are taken from; nothing for an algorithm that has none."""
        if algorithm is not None and not is_calibrated(algorithm, self.convention):
            return Calibration()
        return calibrate(self.model, self.device, SEED + self.convention.calibration_seed)

    def linear_factory(self) -> LinearFactory:
        """Return what makes quantized layers, each of which tells what goes through it when asked."""
        quantization = self.setup.quantization
        make = plain_linear
        if quantization:
            algorithm = algorithm_of(quantization)
            make = self.quantizer_class(algorithm, self.calibration(algorithm), self.convention).layer

        def watched(name: str, weight: torch.Tensor) -> Linear:
            layer = make(name, weight)

            def through(x: torch.Tensor) -> torch.Tensor:
                y = layer(x)
                if self._through is not None:
                    self._through[name] = (x, y)
                return y

            return through

        return watched

    def make_store(self, shape: Shape) -> Store:
        """Return a quantized store where the setup wants one."""
        kind = self.setup.kv_dtype
        if not kind:
            return super().make_store(shape)
        scales = kv_scales(self.calibration(), kind, self.convention)
        return self.quantized_store_class(shape, self.dtype, self.device, kind, scales)

    def close(self) -> None:
        """Free the cache and the weights, and give the driver back what torch's allocator would keep: 0.3 GiB."""
        super().close()
        if torch.device(self.device).type == "cuda":
            torch.cuda.empty_cache()

    def layers(self, tokens: Sequence[int]) -> Mapping[str, tuple[torch.Tensor, torch.Tensor]]:
        """Return what goes into and comes out of every linear layer, ``[tokens, in]`` and ``[tokens, out]``, by name.

        Of a quantized cache too: what was kept and what is read again.
        """
        store = self.scheduler.store
        self._through = {}
        try:
            if isinstance(store, QuantizedStore):
                store.through = self._through
            self.generate([Request(tuple(tokens), max_tokens=1)])
            return self._through
        finally:
            self._through = None
            if isinstance(store, QuantizedStore):
                store.through = None
