"""One run of ``pytest --trtcheck``: facts once, plan, results, report."""

from __future__ import annotations

import pytest

from pytest_trtcheck.errors import TrtcheckError
from pytest_trtcheck.report.write import check_writable
from pytest_trtcheck.session.outcome import compared, fail, measured, not_run, noted
from pytest_trtcheck.session.run import RUN, Run, run_of
from pytest_trtcheck.session.settings import read_settings

__all__ = ["compared", "fail", "measured", "not_run", "noted", "run_of", "start"]


def start(config: pytest.Config) -> None:
    """Read the settings, take over the selection of what to collect, and register the run.

    Raises pytest.UsageError, one line, for anything that cannot be used, before anything runs.
    """
    worker = hasattr(config, "workerinput")
    try:
        settings = read_settings(config)
        run = Run(config, settings)
        if not worker:
            run.matrix.identity  # noqa: B018 - broken overlays are told before anything runs
            if not config.option.collectonly:
                check_writable(settings.report_folder)
    except TrtcheckError as error:
        raise pytest.UsageError(str(error)) from None
    if config.args_source is pytest.Config.ArgsSource.ARGS and not worker:
        _check_paths(config)
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        # Neither testpaths nor the current folder: the bundled suites are added by the collection plugin.
        config.args = []
    config.stash[RUN] = run
    try:
        _register(config, run, worker=worker)
    except TrtcheckError as error:
        raise pytest.UsageError(str(error)) from None


def _check_paths(config: pytest.Config) -> None:
    """Refuse a path that is not there, as pytest does: with workers nobody would tell."""
    for argument in () if config.option.pyargs else config.args:
        if not (config.invocation_params.dir / argument.partition("::")[0]).exists():
            raise pytest.UsageError(f"file or directory not found: {argument}")


def _register(config: pytest.Config, run: Run, *, worker: bool) -> None:
    from pytest_trtcheck.session.collect import Collection, provider_plugins
    from pytest_trtcheck.session.execute import Execution

    pytest.register_assert_rewrite("pytest_trtcheck._suites")
    for module in provider_plugins():
        config.pluginmanager.register(module)
    plugins: dict[str, object] = {"collection": Collection(run), "execution": Execution(run)}
    if worker:
        if run.exchange is not None:
            from pytest_trtcheck.isolation.worker import WorkerSide

            plugins["worker"] = WorkerSide(run.exchange, config.workerinput["workerid"])  # type: ignore[attr-defined]
    else:
        plugins |= _controlling(config, run)
    for name, plugin in plugins.items():
        config.pluginmanager.register(plugin, f"trtcheck-{name}")


def _controlling(config: pytest.Config, run: Run) -> dict[str, object]:
    from pytest_trtcheck.session.conclude import Conclusion
    from pytest_trtcheck.session.isolate import arrange

    arrangement = arrange(config, run)
    run.gpu_count = arrangement.gpu_count
    if arrangement.mode == "workers":
        from pytest_trtcheck.session.controller import Controller

        controller = Controller(run, arrangement)
        plugins: dict[str, object] = {"controller": controller}
    else:
        controller, plugins = None, {}
    plugins["conclusion"] = Conclusion(run, arrangement, controller)
    if not config.option.collectonly:
        from pytest_trtcheck.session.progress import Progress

        plugins["progress"] = Progress(run, arrangement, controller)
    return plugins
