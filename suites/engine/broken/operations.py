"""Operations that compute something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pytest_trtcheck._suites.engine.broken.base import Broken, OneOperation
from pytest_trtcheck.providers.engine import Node

_BLOCKS = "int4_weights"
Wrong = Callable[[OneOperation, Node, Sequence[np.ndarray]], np.ndarray]


def _with(node: Node, **settings: object) -> Node:
    return replace(node, settings={**node.settings, **settings})


def _transposed(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    x, y = given
    return self.right(node, (x, y.swapaxes(-1, -2) if y.shape[-1] == y.shape[-2] else y))


def _bias_dropped(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, given) if given[1].size > given[1].shape[-1] else given[0] + 0 * given[1]


def _first_channel_for_all(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    x, y = given
    return x + (y[..., :1] if y.size == y.shape[-1] else y)


def _conv_bias_dropped(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, (*given[:2], 0 * given[2]))


def _conv_flipped(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, (given[0], given[1][:, :, ::-1, ::-1], given[2]))


def _conv_edge_repeated(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    wide = np.pad(given[0], ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    return self.right(_with(node, padding=0), (wide, *given[1:]))


def _conv_channels_swapped(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, (given[0], given[1].swapaxes(0, 1), given[2]))


def _relu_forgotten(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return given[0]


def _softmax_other_axis(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    x = given[0] if given[0].shape[-2] > 1 else np.concatenate([given[0]] * 2, axis=-2)
    raised = np.exp(x - x.max(axis=-2, keepdims=True))
    return (raised / raised.sum(axis=-2, keepdims=True))[..., : given[0].shape[-2], :]


def _mean_one_off(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    size = given[0].shape[-1]
    return self.right(node, given) * size / (size - 1)


def _mean_of_half(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, (given[0][..., : given[0].shape[-1] // 2],))


def _ids_one_off(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    table, ids = given
    return self.right(node, (table, np.maximum(ids - 1, 0)))


def _past_last(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, given[::-1])


def _past_overwritten(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    past = given[0].copy()
    past[:, :, :1] = given[0][:, :, 1:2] if past.shape[2] > 1 else 0
    return self.right(node, (past, *given[1:]))


def _past_of_neighbour(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, (np.roll(given[0], 1, axis=0), *given[1:]))


def _heads_not_moved(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    x = given[0]
    return x.reshape([x.shape[at] for at in node.settings["order"]])


def _scale_forgotten(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return given[0]


def _scale_of_first_block(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, (given[0], np.broadcast_to(given[1][:1], given[1].shape)))


def _scale_one_block_off(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, (given[0], np.roll(given[1], 1, axis=0)))


def _scale_axis_swapped(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, (given[0].T, given[1])).T


def _nibbles_swapped(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    x = given[0]
    return self.right(node, (x.reshape(-1, 2)[:, ::-1].reshape(x.shape), given[1]))


def _zero_point(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    return self.right(node, (given[0] % 16, given[1]))


def _saturates_early(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    largest = {"int8": 64.0, "fp8_e4m3": 16.0}[node.settings["to"]]
    return np.clip(self.right(node, given), -largest, largest)


def _quantized_coarsely(self: OneOperation, node: Node, given: Sequence[np.ndarray]) -> np.ndarray:
    step = 2.0 if node.settings["to"] == "int8" else 1.0
    found: np.ndarray = np.rint(self.right(node, given) / step) * step
    return found


def _broken(name: str, about: str, op: str, wrong: Wrong, feature: str = "") -> type[Broken]:
    """Return a provider with one wrong operation; ``feature`` is what a case needs to show it."""
    arithmetic = type(f"{name}_arithmetic", (OneOperation,), {"op": op, "wrong": wrong})
    return type(
        name,
        (Broken,),
        {
            "name": f"broken_{name}",
            "__doc__": about,
            "__module__": __name__,
            "arithmetic_class": arithmetic,
            "ops": frozenset({op}),
            "feature": feature,
        },
    )


OPERATIONS: tuple[type[Broken], ...] = (
    _broken("transposed_weight", "A square constant is multiplied transposed.", "matmul", _transposed),
    _broken("bias_dropped", "Constants of one row are not added.", "add", _bias_dropped),
    _broken("bias_of_first_channel", "A bias is broadcast from its first element.", "add", _first_channel_for_all),
    _broken("conv_bias_dropped", "A convolution forgets its bias.", "conv", _conv_bias_dropped),
    _broken(
        "conv_flipped", "A convolution in the mathematician's sense: its kernel is flipped.", "conv", _conv_flipped
    ),
    _broken("conv_edge_repeated", "Padding repeats the edge in place of zeros.", "conv", _conv_edge_repeated),
    _broken(
        "conv_channels_swapped", "The kernel's input and output channels are swapped.", "conv", _conv_channels_swapped
    ),
    _broken("relu_forgotten", "A fusion loses the activation.", "relu", _relu_forgotten),
    _broken("softmax_over_queries", "Softmax over queries in place of keys.", "softmax", _softmax_other_axis),
    _broken("mean_one_off", "A mean divides by one too few.", "mean", _mean_one_off),
    _broken("mean_of_half", "A reduction sees the first half only.", "mean", _mean_of_half),
    _broken("ids_one_off", "Rows of the embedding are counted from 1.", "gather", _ids_one_off),
    _broken("past_last", "The new token stands before its past.", "concat", _past_last),
    _broken(
        "past_overwritten",
        "The oldest token of the past is overwritten by the one after it.",
        "concat",
        _past_overwritten,
    ),
    _broken("past_of_neighbour", "Each sequence gets the past of the next one.", "concat", _past_of_neighbour),
    _broken("heads_not_moved", "A transposition becomes a reshape.", "transpose", _heads_not_moved),
    _broken("scale_forgotten", "Constants are not multiplied by their scale.", "dequantize", _scale_forgotten, _BLOCKS),
    _broken(
        "scale_of_first_block", "All blocks take the first one's scale.", "dequantize", _scale_of_first_block, _BLOCKS
    ),
    _broken("scale_one_block_off", "Blocks take their neighbour's scale.", "dequantize", _scale_one_block_off, _BLOCKS),
    _broken("scale_axis_swapped", "Scales run along the other axis.", "dequantize", _scale_axis_swapped, _BLOCKS),
    _broken("nibbles_swapped", "The two numbers in a byte change places.", "dequantize", _nibbles_swapped, _BLOCKS),
    _broken(
        "unsigned_nibbles", "Four bits are read as unsigned, with no zero point.", "dequantize", _zero_point, _BLOCKS
    ),
    _broken("saturates_early", "Quantization clips at half the range.", "quantize", _saturates_early),
    _broken("quantized_coarsely", "Quantization loses the last bit.", "quantize", _quantized_coarsely),
)
