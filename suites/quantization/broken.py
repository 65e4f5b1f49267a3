"""Deliberately broken quantizations, one mistake each: every one must be caught at level quick.

Each is the built-in engine with one step replaced, and tells nothing of its layers, as a foreign backend: what catches
it are its answers and its log-probabilities.
"""

from __future__ import annotations

from typing import ClassVar

import torch

from pytest_trtcheck._suites.probe_llm.engine.kv import Store
from pytest_trtcheck._suites.probe_llm.engine.model import Linear, plain_linear
from pytest_trtcheck._suites.quantization.fake import Convention, QuantizedStore, Quantizer
from pytest_trtcheck._suites.quantization.formats import E2M1, E4M3, round_whole, whole_numbers
from pytest_trtcheck._suites.quantization.session import QuantizedSession
from pytest_trtcheck.providers import LlmCase, LlmSession, Model, Setup, Where
from pytest_trtcheck.providers.llm import lacking

INT8, INT4, FP8, SMOOTH = "int8_weight_only", "int4_weight_only", "fp8", "int8_smooth_quant"
AWQ, W4A8, NVFP4, MXFP4, MXFP4_WEIGHTS = "int4_awq", "w4a8_awq", "nvfp4", "mxfp4", "mxfp4_weight_only"
FP8_KV, INT8_KV = "fp8_e4m3", "int8"
MIDDLE = "model.layers.3."


class Variant:
    """A backend made of the built-in engine with parts of its own."""

    name = ""
    setups: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Algorithms and caches in which it differs from the usual engine."""
    quantizer: type[Quantizer] = Quantizer
    store: type[QuantizedStore] = QuantizedStore
    convention: Convention = Convention()
    tells_layers = False

    def with_seed(self, seed: int) -> Variant:  # noqa: ARG002 - for those who go by it
        """Return what the proof runs with this seed; most variants have nothing to draw."""
        return self

    def why_not(self, case: LlmCase, where: Where) -> str:  # noqa: ARG002
        """Return why it is out of reach: another algorithm, or anything but plain requests."""
        setup = case.setup
        if (setup.quantization, setup.kv_dtype) not in self.setups:
            return "differs elsewhere"
        own = {setup.dtype, setup.quantization, f"{setup.kv_dtype}_kv", "log_probs"}
        return lacking(case, frozenset(own))

    def open(self, setup: Setup, model: Model, where: Where) -> LlmSession:
        """Bring the engine up."""
        hidden = {} if self.tells_layers else {"layers": None}
        parts = {
            "quantizer_class": self.quantizer,
            "quantized_store_class": self.store,
            "convention": self.convention,
        }
        session_class = type(type(self).__name__, (QuantizedSession,), {**parts, **hidden})
        session: LlmSession = session_class(setup, model, where.device)
        return session


class SwappedScaleAxis(Variant):
    """The scales of the output channels are applied to the input channels."""

    name = "broken_scale_axis"
    setups = ((INT8, ""), (INT4, ""))

    class quantizer(Quantizer):  # noqa: N801 - it takes the place of an attribute
        """Scales of rows, laid along columns."""

        def restored(self, codes: torch.Tensor, scales: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            """Return numbers with scales along the other axis."""
            repeated = scales.flatten().repeat(-(-weight.shape[1] // len(scales)))[: weight.shape[1]]
            return codes * repeated


class GroupOffByOne(Variant):
    """Every number is restored with the scale of a group that begins one number earlier."""

    name = "broken_group_offset"
    # In groups of 128 one number in 128 is off by a fifth, which is a twentieth of int4's own noise: not to be seen.
    setups = ((MXFP4_WEIGHTS, ""),)

    class quantizer(Quantizer):  # noqa: N801
        """Scales shifted by one number."""

        def restored(self, codes: torch.Tensor, scales: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            """Return numbers, the first of each group with the scale of the group before."""
            each = scales.expand_as(codes).flatten().roll(1)
            return (codes.flatten() * each).reshape(weight.shape)


class NeighbourGroupScale(Variant):
    """Every group is restored with the scale of the next group."""

    name = "broken_group_neighbour"
    setups = ((AWQ, ""), (MXFP4_WEIGHTS, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Scales of the neighbours."""

        def restored(self, codes: torch.Tensor, scales: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            """Return numbers."""
            return (codes * scales.roll(1, 0)).reshape(weight.shape)


class ZeroPointSign(Variant):
    """Codes are stored without a sign, and the zero point is added where it has to be taken off."""

    name = "broken_zero_point_sign"
    setups = ((INT8, ""), (INT4, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Codes from zero on."""

        def codes(self, groups: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
            """Return codes off by twice the zero point, as far as the type wraps around."""
            low, _ = whole_numbers(self.algorithm.weights)
            span = -2 * low
            stored = super().codes(groups, scales) - low
            return (stored - low) % span + low


class ZeroPointOffByOne(Variant):
    """The zero point of unsigned codes is one too small."""

    name = "broken_zero_point"
    setups = ((INT8, ""), (INT4, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Codes one too large."""

        def codes(self, groups: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
            """Return codes."""
            return super().codes(groups, scales) + 1


class ClippedOutliers(Variant):
    """The scale is taken from half of the largest magnitude, so outliers are cut."""

    name = "broken_clipped_outliers"
    setups = ((INT8, ""), (INT4, ""), (FP8, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Scales of half the size."""

        def scales(self, groups: torch.Tensor) -> torch.Tensor:
            """Return scales."""
            return super().scales(groups) / 2


class ClippedActivations(Variant):
    """The scale of activations comes from an eighth of the largest magnitude that calibration saw."""

    name = "broken_clipped_activations"
    setups = ((FP8, ""), (W4A8, ""))

    class quantizer(Quantizer):  # noqa: N801
        """A limit that is too small."""

        def limit(self, name: str, factors: torch.Tensor) -> float:
            """Return it."""
            return super().limit(name, factors) / 8


class SwappedNibbles(Variant):
    """Of two codes in a byte the high one is taken for the low one."""

    name = "broken_nibbles"
    setups = ((INT4, ""), (AWQ, ""), (NVFP4, ""), (MXFP4, ""), (MXFP4_WEIGHTS, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Codes swapped in pairs."""

        def codes(self, groups: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
            """Return codes."""
            found = super().codes(groups, scales)
            return found.reshape(-1, 2).flip(1).reshape(found.shape)


class RoundedDown(Variant):
    """Numbers are cut towards zero and not rounded."""

    name = "broken_rounding"
    setups = ((INT8, ""), (INT4, ""), (FP8, ""), (AWQ, ""))
    convention = Convention(ties="zero")


class TruncatedScales(Variant):
    """Codes are made with scales in fp32 and restored with scales cut to bf16."""

    name = "broken_scale_precision"
    setups = ((INT8, ""),)

    class quantizer(Quantizer):  # noqa: N801
        """Scales of 8 bits for restoring."""

        def restored(self, codes: torch.Tensor, scales: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            """Return numbers."""
            cut = (scales.contiguous().view(torch.int32) & -65536).view(torch.float32)
            return super().restored(codes, cut, weight)


class TensorScale(Variant):
    """One scale for the whole tensor, where each channel or group has its own."""

    name = "broken_coarse_scale"
    setups = ((INT8, ""), (AWQ, ""))

    class quantizer(Quantizer):  # noqa: N801
        """The largest scale for all."""

        def scales(self, groups: torch.Tensor) -> torch.Tensor:
            """Return it for every row."""
            found = super().scales(groups)
            return found.amax().expand_as(found)


class FewerBits(Variant):
    """Codes have one bit less than they should."""

    name = "broken_fewer_bits"
    setups = ((INT8, ""), (INT4, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Even codes only."""

        def codes(self, groups: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
            """Return codes."""
            return round_whole(super().codes(groups, scales) / 2) * 2


class LayerLeft(Variant):
    """One layer is left as it was trained."""

    name = "broken_layer_left"
    setups = ((INT8, ""), (INT4, ""), (AWQ, ""), (MXFP4_WEIGHTS, ""))

    class quantizer(Quantizer):  # noqa: N801
        """All but one."""

        def is_quantized(self, name: str) -> bool:
            """Leave out one projection of the middle."""
            return super().is_quantized(name) and name != f"{MIDDLE}mlp.up_proj"


class NothingQuantized(Variant):
    """Says that it quantizes, and does nothing."""

    name = "broken_nothing_quantized"
    setups = ((INT8, ""), (INT4, ""), (FP8, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Plain layers."""

        def is_quantized(self, name: str) -> bool:  # noqa: ARG002
            """Leave all."""
            return False


class HeadQuantized(Variant):
    """The output layer is quantized, which should not be."""

    name = "broken_head_quantized"
    setups = ((INT8, ""), (INT4, ""))

    class quantizer(Quantizer):  # noqa: N801
        """All layers."""

        def is_quantized(self, name: str) -> bool:  # noqa: ARG002
            """Leave none."""
            return True


class NeighbourLayerScales(Variant):
    """Every layer is restored with the scales of the same projection in the layer before."""

    name = "broken_layer_scales"
    setups = ((INT8, ""), (INT4, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Remembers the scales of the layer before."""

        def layer(self, name: str, weight: torch.Tensor) -> Linear:
            """Note which projection is made."""
            self.projection = name.rpartition(".")[2]
            return super().layer(name, weight)

        def restored(self, codes: torch.Tensor, scales: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            """Return numbers."""
            seen = self.__dict__.setdefault("seen", {})
            before = seen.get(self.projection, scales)
            seen[self.projection] = scales
            return super().restored(codes, before, weight)


class StaleActivationScales(Variant):
    """Activations are rounded with fresh scales and restored with those of an earlier calibration, a tenth smaller."""

    name = "broken_stale_scales"
    setups = ((FP8, ""), (W4A8, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Numbers that are too small."""

        def activations(self, x: torch.Tensor, limit: float) -> torch.Tensor:
            """Return them."""
            return super().activations(x, limit) * 0.9


class FactorsForgotten(Variant):
    """Weights are scaled for smooth activations or by AWQ, and activations are not divided."""

    name = "broken_channel_factors"
    setups = ((SMOOTH, ""), (AWQ, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Factors in the weights alone."""

        def layer(self, name: str, weight: torch.Tensor) -> Linear:
            """Return a layer."""
            if not self.is_quantized(name):
                return plain_linear(name, weight)
            factors = self.factors(name, weight.float())
            stored = self.weights(name, weight.float() * factors).to(weight.dtype)
            return lambda x: x @ stored.T


class TensorScaleDropped(Variant):
    """Blocks are restored with their own scales and without the one of the tensor."""

    name = "broken_block_scales"
    setups = ((NVFP4, ""),)

    class quantizer(Quantizer):  # noqa: N801
        """Scales in e4m3 alone."""

        def restored(self, codes: torch.Tensor, scales: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            """Return numbers that are too large."""
            whole = weight.abs().max() / (E2M1.largest * E4M3.largest)
            return super().restored(codes, scales / whole, weight)


class ExponentOffByOne(Variant):
    """Scales in e8m0 are one power of two too small, so the largest numbers of each block are cut."""

    name = "broken_scale_exponent"
    setups = ((MXFP4, ""), (MXFP4_WEIGHTS, ""))

    class quantizer(Quantizer):  # noqa: N801
        """Half of each scale."""

        def float_scales(self, largest: torch.Tensor, of_tensor: float) -> torch.Tensor:
            """Return them."""
            return super().float_scales(largest, of_tensor) / 2


class KvScaleMissing(Variant):
    """Keys and values are read without their scales."""

    name = "broken_kv_scale_missing"
    setups = (("", FP8_KV), ("", INT8_KV))

    class store(QuantizedStore):  # noqa: N801
        """Codes for numbers."""

        def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Return codes."""
            return Store.read(self, layer, places)


class KvScaleTwice(Variant):
    """Keys and values are scaled twice when they are read."""

    name = "broken_kv_scale_twice"
    setups = (("", FP8_KV), ("", INT8_KV))

    class store(QuantizedStore):  # noqa: N801
        """Scales squared."""

        def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Return numbers."""
            k, v = super().read(layer, places)
            return k * self.scales[layer][0], v * self.scales[layer][1]


class KvScalesSwapped(Variant):
    """Keys have the scale of values, and values that of keys."""

    name = "broken_kv_scales_swapped"
    setups = (("", FP8_KV), ("", INT8_KV))

    class store(QuantizedStore):  # noqa: N801
        """Scales crosswise."""

        def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Return numbers."""
            k, v = Store.read(self, layer, places)
            return k * self.scales[layer][1], v * self.scales[layer][0]


class KvNeighbourScale(Variant):
    """Each layer's cache is read with the scales of the layer before."""

    name = "broken_kv_layer"
    setups = (("", FP8_KV), ("", INT8_KV))

    class store(QuantizedStore):  # noqa: N801
        """Scales one layer off."""

        def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Return numbers."""
            k, v = Store.read(self, layer, places)
            of_keys, of_values = self.scales[layer - 1]
            return k * of_keys, v * of_values


class KvStaleScale(Variant):
    """The cache is read with scales that changed after it was written."""

    name = "broken_kv_stale_scale"
    setups = (("", FP8_KV), ("", INT8_KV))

    class store(QuantizedStore):  # noqa: N801
        """Scales of 15 % more when read."""

        def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Return numbers."""
            k, v = super().read(layer, places)
            return k * 1.15, v * 1.15


class KvNotQuantized(Variant):
    """The cache is left in the wide type."""

    name = "broken_kv_left"
    setups = (("", FP8_KV), ("", INT8_KV))

    class store(QuantizedStore):  # noqa: N801
        """A plain store."""

        def write(self, layer: int, places: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
            """Keep as it is."""
            Store.write(self, layer, places, k, v)

        def read(self, layer: int, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            """Return what was kept."""
            return Store.read(self, layer, places)


BROKEN: tuple[type[Variant], ...] = (
    SwappedScaleAxis, GroupOffByOne, NeighbourGroupScale, ZeroPointSign, ZeroPointOffByOne, ClippedOutliers,
    ClippedActivations, SwappedNibbles, RoundedDown, TruncatedScales, TensorScale, FewerBits, LayerLeft,
    NothingQuantized, HeadQuantized, NeighbourLayerScales, StaleActivationScales, FactorsForgotten, TensorScaleDropped,
    ExponentOffByOne, KvScaleMissing, KvScaleTwice, KvScalesSwapped, KvNeighbourScale, KvStaleScale, KvNotQuantized,
)  # fmt: skip
