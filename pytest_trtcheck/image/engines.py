"""Facts of the engines that lie in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_trtcheck.model.facts import Fact, State
from pytest_trtcheck.probe.plan_files import EngineFolder, PlanFile, read_engine_folder, read_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_trtcheck.probe.root import Root

MAX_PLANS = 200


def engine_facts(root: Root, paths: Sequence[str]) -> dict[str, Fact]:
    """Return ``engines`` and, where headers tell them, the releases that built them.

    Files that are named like an engine and are none are kept with the reason: another tool may use the suffix.
    """
    folders = dict.fromkeys(path.rpartition("/")[0] or "/" for path in paths[:MAX_PLANS])
    llm = [found for folder in folders if (found := read_engine_folder(root, folder)) is not None]
    plans = [read_plan(root, path) for path in root.in_reading_order(paths[:MAX_PLANS])]
    real = [plan for plan in plans if plan.tensorrt is not None]
    if not plans:
        return {"engines": Fact("engines", State.ABSENT, reason="no .engine or .plan file in the image")}
    details: dict[str, Any] = {"plans": [_plan(plan) for plan in plans], "tensorrt_llm": [_folder(one) for one in llm]}
    if len(paths) > MAX_PLANS:
        details["problems"] = [f"{len(paths)} engines; the first {MAX_PLANS} were read"]
    count = str(len(plans))
    facts = {"engines": Fact("engines", State.FOUND, count, plans[0].path, "number of files", details=details)}
    built = {plan.tensorrt: plan for plan in reversed(real) if plan.tensorrt}
    if built:
        facts["engine_built_with_tensorrt"] = _built("engine_built_with_tensorrt", "header of the plan", {
            version: plan.path for version, plan in reversed(built.items())
        })  # fmt: skip
    releases = {one.tensorrt_llm: one for one in reversed(llm) if one.tensorrt_llm}
    if releases:
        facts["engine_built_with_tensorrt_llm"] = _built("engine_built_with_tensorrt_llm", "config.json", {
            version: f"{one.path}/config.json" for version, one in reversed(releases.items())
        })  # fmt: skip
    return facts


def _built(key: str, how: str, where: dict[str, str]) -> Fact:
    """Return the release that built an engine; the first where there are several, with all in the details."""
    version, path = next(iter(where.items()))
    details = {"all": list(where), "where": where} if len(where) > 1 else {}
    return Fact(key, State.FOUND, version, path, how, details=details)


def _plan(plan: PlanFile) -> dict[str, Any]:
    values = {"path": plan.path, "size_bytes": plan.size_bytes, "tensorrt": plan.tensorrt, "note": plan.note}
    return {name: value for name, value in values.items() if value}


def _folder(one: EngineFolder) -> dict[str, Any]:
    values = {"path": one.path, "tensorrt_llm": one.tensorrt_llm, "ranks": one.ranks, "note": one.note}
    return {name: value for name, value in {**values, **one.fields}.items() if value not in {None, ""}}
