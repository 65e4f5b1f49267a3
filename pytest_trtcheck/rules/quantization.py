"""Rows of the products ``quantization`` and ``quantized_accuracy``: what an algorithm is, and where it should work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pytest_trtcheck.model.versions import PackageVersion

if TYPE_CHECKING:
    from pytest_trtcheck.rules.load import Matrix
    from pytest_trtcheck.rules.rows import Row

ALGORITHMS, ACCURACY = "quantization", "quantized_accuracy"
NUMBERS = ("int8", "int4", "fp8_e4m3", "e2m1")
GRANULARITIES = ("tensor", "channel", "token", "group")
SCALES = ("fp32", "e4m3", "e8m0")
DTYPES = ("fp32", "fp16", "bf16")


@dataclass(frozen=True)
class Algorithm:
    """What becomes of numbers; a cell that a row lacks is empty or 0 here."""

    id: str
    weights: str
    activations: str
    kv_cache: str
    granularity: str
    group_size: int
    activation_granularity: str
    scale: str
    channel_scaling: str
    unquantized: tuple[str, ...]

    @property
    def bits(self) -> str:
        """Bits of weights, activations and KV cache in words: ``W4A8``, ``KV8``."""
        parts = (("W", self.weights), ("A", self.activations), ("KV", self.kv_cache))
        return "".join(f"{letter}{_BITS[kind]}" for letter, kind in parts if kind)


_BITS = {"int8": 8, "int4": 4, "fp8_e4m3": 8, "e2m1": 4}
_TEXTS = ("weights", "activations", "kv_cache", "granularity", "activation_granularity", "scale", "channel_scaling")


def algorithms(matrix: Matrix) -> dict[str, Algorithm]:
    """Return every algorithm by its id, those of a KV cache too."""
    return {row.version: _algorithm(row) for row in matrix.rows(ALGORITHMS)}


def _algorithm(row: Row) -> Algorithm:
    texts = {name: str(row.value(name) or "") for name in _TEXTS}
    return Algorithm(
        id=row.version,
        group_size=int(row.value("group_size") or 0),
        unquantized=tuple(row.value("unquantized") or ()),
        **texts,
    )


@dataclass(frozen=True)
class Spread:
    """A figure over sound variants: natural logarithms of nats."""

    low: float
    """Center of the family of variants with the lowest figures."""
    high: float
    deviation: float
    """Standard deviation within the families, on one calibration."""
    of_calibration: float = 0.0
    """Standard deviation of one variant from calibration to calibration; 0 where nothing is calibrated."""


@dataclass(frozen=True)
class Figures:
    """What a sound quantization of the probe model was measured to lose."""

    row: str
    """Id of the row."""
    source: str
    asked: Mapping[str, int]
    """Questions by kind of set: ``easy``, ``hard``; of the variant that got the fewest right."""
    right: Mapping[str, int]
    divergence: Spread
    """Of the mean KL divergence."""
    noise: Spread
    """Of the noise of the log-probabilities."""
    variants: int
    """Ways to do it that were measured, all on one calibration."""
    families: int
    calibrations: int = 0
    """On which the first way of each calibrated family was measured, all families together."""
    calibrated_families: int = 0

    @property
    def ways_of_each(self) -> float:
        """Ways to do it of a family, on average."""
        return self.variants / self.families

    @property
    def calibrations_of_each(self) -> float:
        """Calibrations of a family that is calibrated; 0 where none is."""
        return self.calibrations / self.calibrated_families if self.calibrated_families else 0.0


@dataclass(frozen=True)
class Deviation:
    """A standard deviation of natural logarithms, and how well it is known."""

    value: float
    freedom: int
    """Degrees of freedom."""


def figures(matrix: Matrix, algorithm: str, kv_cache: str, dtype: str) -> Figures | None:
    """Return what is recorded of an algorithm and a KV cache in a type; None where nothing is."""
    wanted = (algorithm or None, kv_cache or None, dtype)
    for row in matrix.rows(ACCURACY):
        if (row.value("algorithm"), row.value("kv_cache"), row.value("dtype")) == wanted:
            return _figures(row)
    return None


@dataclass(frozen=True)
class Deviations:
    """How far apart two sound variants of one family are."""

    ways: Deviation
    """Done another way, on the same calibration."""
    calibrations: Deviation
    """Done the same way, on another calibration."""


_STATISTICS = ("divergence", "noise")


def deviations(matrix: Matrix, algorithm: str, kv_cache: str) -> dict[str, Deviations]:
    """Return, for ``divergence`` and ``noise``, how far apart sound variants of an algorithm and a KV cache are.

    From rows in fp32: the same variants in another type are no new ones, and do not count. Between ways it is pooled
    over all rows. Between calibrations it is not: one cache is cut where a calibration missed its largest keys,
    another takes no notice.
    """
    rows = [_figures(row) for row in matrix.rows(ACCURACY) if row.value("dtype") == DTYPES[0]]
    own = figures(matrix, algorithm, kv_cache, DTYPES[0])
    freedom = sum(one.variants - one.families for one in rows)
    found = {}
    for statistic in _STATISTICS:
        squares = sum((one.variants - one.families) * getattr(one, statistic).deviation ** 2 for one in rows)
        found[statistic] = Deviations(
            Deviation((squares / freedom) ** 0.5 if freedom else 0.0, freedom),
            Deviation(getattr(own, statistic).of_calibration, own.calibrations - own.calibrated_families)
            if own
            else Deviation(0.0, 0),
        )
    return found


_SPREAD = ("low", "high", "sd", "calibration_sd")


def _figures(row: Row) -> Figures:
    kinds = ("easy", "hard")
    number: Any = row.value
    return Figures(
        row=row.id,
        source=row.source("hard_right").document,
        asked={kind: int(number(f"{kind}_asked")) for kind in kinds},
        right={kind: int(number(f"{kind}_right")) for kind in kinds},
        divergence=Spread(*(float(number(f"divergence_log_{part}")) for part in _SPREAD)),
        noise=Spread(*(float(number(f"noise_log_{part}")) for part in _SPREAD)),
        variants=int(number("variants")),
        families=int(number("families")),
        calibrations=int(number("calibrations")),
        calibrated_families=int(number("calibrated_families")),
    )


Verdict = Literal["works", "refuses", "unknown"]


def expected(
    matrix: Matrix, algorithm: str, kv_cache: str, versions: Mapping[str, str], compute_capability: str
) -> tuple[Verdict, str]:
    """Return whether TensorRT-LLM's PyTorch flow should take an algorithm on this GPU, and why, with the source.

    Known facts exclude, only stated ones promise: without a release, a GPU or a list of GPUs it is ``unknown``.
    """
    found = PackageVersion.try_parse(versions.get("tensorrt_llm"))
    if found is None or not compute_capability:
        return "unknown", "no release of TensorRT-LLM or no GPU to ask the matrix about"
    words = []
    for name in filter(None, (algorithm, f"{kv_cache}_kv" if kv_cache else "")):
        row = next((row for row in matrix.rows(ALGORITHMS) if row.version == name), None)
        capabilities = row.value("tensorrt_llm_capabilities") if row else None
        if row is None or capabilities is None:
            return "unknown", f"no source tells on which GPUs TensorRT-LLM takes {name}"
        since = row.value("tensorrt_llm_since")
        if since is not None and found < PackageVersion.parse(since):
            return "unknown", f"{name} is known of TensorRT-LLM {since}, this is {found}"
        source = row.source("tensorrt_llm_capabilities").document
        if compute_capability not in capabilities:
            return "refuses", f"{name} is for compute capabilities {', '.join(capabilities)} ({source})"
        words.append(f"{name} is said to work on compute capability {compute_capability} ({source})")
    return ("works", "; ".join(words)) if words else ("unknown", "nothing is quantized")
