"""Hooks that a site may implement in a conftest or a plugin of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.model.report import RunReport
    from pytest_trtcheck.providers import AttentionProvider, EngineProvider, LlmBackend


@pytest.hookspec(firstresult=True)
def pytest_trtcheck_probe_stack(config: pytest.Config) -> Stack | None:
    """Return the stack to judge in place of this machine's own; the first answer that is not None is taken.

    Called once per run, in the controller. For a site that reads its facts from an inventory::

        def pytest_trtcheck_probe_stack(config):
            return stack_from_inventory(os.environ["NODE"])
    """


@pytest.hookspec
def pytest_trtcheck_attention_providers(config: pytest.Config) -> Sequence[AttentionProvider]:  # type: ignore[empty-body]
    """Return implementations of attention to be judged beside the built-in ones.

    Called once per process, while checks are planned: nothing native may be loaded here. See
    ``pytest_trtcheck.providers.attention`` for what a provider is::

        class Ours:
            name = "our_kernel"

            def why_not(self, case, where):
                return "" if where.device == "cuda" and case.layout == "packed" else "packed on a GPU only"

            def run(self, case, inputs):
                from our_kernels import attention

                return attention(inputs.q, inputs.k, inputs.v, inputs.cu_q, inputs.cu_k, scale=case.scale)

        def pytest_trtcheck_attention_providers(config):
            return [Ours()]
    """


@pytest.hookspec
def pytest_trtcheck_engine_providers(config: pytest.Config) -> Sequence[EngineProvider]:  # type: ignore[empty-body]
    """Return ways to build and run engines, to be judged beside the built-in ones.

    Called once per process, while checks are planned: nothing native may be loaded here. See
    ``pytest_trtcheck.providers.engine`` for what a case, a provider and its session are::

        class Ours:
            name = "our_compiler"
            factory = "our_package.engines:Ours"

            def why_not(self, case, where):
                return "" if where.device == "cuda" and case.dtype == "fp16" else "fp16 on a GPU only"

            def abilities(self, where):
                return frozenset({"refit"})

            def build(self, case, weights, request):
                return Built(compile(case.graph, weights, case.dims))

            def load(self, plan, options):
                return OurSession(plan)  # has run(inputs, outputs), refit(weights) and close()

        def pytest_trtcheck_engine_providers(config):
            return [Ours()]
    """


@pytest.hookspec
def pytest_trtcheck_llm_backends(config: pytest.Config) -> Sequence[LlmBackend]:  # type: ignore[empty-body]
    """Return ways to serve a language model, to be judged beside the built-in ones.

    Called once per process, while checks are planned: nothing native may be loaded here. See
    ``pytest_trtcheck.providers.llm`` for what a backend, a session, a request and its completion are::

        class Ours:
            name = "our_server"

            def why_not(self, case, where):
                return lacking(case, frozenset({"bf16", "streaming", "arrivals", "log_probs"}))

            def open(self, setup, model, where):
                return OurSession(model.main, dtype=setup.dtype)  # has generate(requests) and close()

        def pytest_trtcheck_llm_backends(config):
            return [Ours()]
    """


@pytest.hookspec
def pytest_trtcheck_report_written(config: pytest.Config, report: RunReport, files: dict[str, str]) -> None:
    """React to a finished run; ``files`` maps a format's name to the path that was written.

    Called once, in the controller, after the verdict::

        def pytest_trtcheck_report_written(config, report, files):
            upload(files["json"], labels={"verdict": report.verdict.value})
    """
