"""Quantized layers that run on torch's own low-precision kernels, with scales as the fake quantization sets them."""

from __future__ import annotations

import torch

from pytest_trtcheck._suites.probe_llm.engine.model import Linear, plain_linear
from pytest_trtcheck._suites.quantization.fake import Quantizer
from pytest_trtcheck._suites.quantization.formats import E4M3, round_to, whole_numbers
from pytest_trtcheck._suites.quantization.session import QuantizedSession
from pytest_trtcheck.providers import Refused

_LEAST_ROWS = 17
"""``_int_mm`` takes more than 16 rows on a GPU; those of zeros are added and dropped."""


class KernelQuantizer(Quantizer):
    """Layers by torch's kernels."""

    def layer(self, name: str, weight: torch.Tensor) -> Linear:
        """Return a layer; Refused where this torch lacks the kernel."""
        if not self.is_quantized(name):
            return plain_linear(name, weight)
        kernels = {
            "int8_weight_only": self.packed_int8,
            "int4_awq": self.packed_int4,
            "int8_smooth_quant": self.int8_product,
            "fp8": self.fp8_product,
        }
        try:
            return kernels[self.algorithm.id](name, weight)
        except AttributeError as error:
            raise Refused(f"torch {torch.__version__}: {error}") from error

    def packed(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return codes in the shape of the weight and scales, one for each row of ``grouped``, in fp32."""
        groups = self.grouped(weight)
        scales = self.scales(groups)
        return self.codes(groups, scales).reshape(weight.shape), scales

    def packed_int8(self, name: str, weight: torch.Tensor) -> Linear:  # noqa: ARG002 - one form for all kernels
        """Return a layer with int8 weights and one scale for each output channel."""
        codes, scales = self.packed(weight.float())
        stored, of_channel = codes.to(torch.int8), scales.flatten().to(weight.dtype)
        multiply = torch._weight_int8pack_mm  # noqa: SLF001 - torch offers it under no other name
        return lambda x: multiply(x, stored, of_channel)

    def packed_int4(self, name: str, weight: torch.Tensor) -> Linear:
        """Return a layer with two int4 weights in a byte and a scale for each group."""
        factors = self.factors(name, weight.float())
        codes, scales = self.packed(weight.float() * factors)
        low, _ = whole_numbers("int4")
        stored = torch._convert_weight_to_int4pack_for_cpu((codes - low).to(torch.int32), 1)  # noqa: SLF001
        # The kernel takes a code of 8 for zero and adds what stands beside the scale.
        of_groups = scales.reshape(len(weight), -1)
        beside = torch.stack((of_groups, torch.zeros_like(of_groups)), -1).transpose(0, 1).contiguous().to(weight.dtype)
        multiply, size = torch._weight_int4pack_mm_for_cpu, self.algorithm.group_size  # noqa: SLF001
        return lambda x: multiply((x / factors).to(x.dtype), stored, size, beside)

    def int8_product(self, name: str, weight: torch.Tensor) -> Linear:
        """Return a layer whose weights and activations are int8, summed in int32."""
        factors = self.factors(name, weight.float())
        codes, scales = self.packed(weight.float() * factors)
        stored, top = codes.to(torch.int8).T, whole_numbers("int8")[1]

        def layer(x: torch.Tensor) -> torch.Tensor:
            smooth = x.float() / factors
            scale = smooth.abs().amax(-1, keepdim=True).clamp(min=1e-12) / top
            rows = round_to(smooth / scale, "int8").to(torch.int8)
            padded = torch.nn.functional.pad(rows, (0, 0, 0, max(0, _LEAST_ROWS - len(rows))))
            return (torch._int_mm(padded, stored)[: len(rows)].float() * scale * scales.T).to(x.dtype)  # noqa: SLF001

        return layer

    def fp8_product(self, name: str, weight: torch.Tensor) -> Linear:
        """Return a layer whose weights and activations are fp8_e4m3, each with one scale."""
        codes, scales = self.packed(weight.float())
        stored, of_weights = codes.to(torch.float8_e4m3fn).T, scales.reshape(())
        limit = self.limit(name, torch.ones_like(weight[0], dtype=torch.float32))
        of_activations = torch.tensor(limit / E4M3.largest, device=weight.device)

        def layer(x: torch.Tensor) -> torch.Tensor:
            rows = round_to(x.float() / of_activations, "fp8_e4m3").to(torch.float8_e4m3fn)
            scaled_mm = torch._scaled_mm  # noqa: SLF001
            answer: torch.Tensor = scaled_mm(rows, stored, of_activations, of_weights, out_dtype=x.dtype)
            return answer

        return layer


class KernelSession(QuantizedSession):
    """The built-in engine on these layers."""

    quantizer_class = KernelQuantizer
