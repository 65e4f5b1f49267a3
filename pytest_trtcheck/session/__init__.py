"""One run of ``pytest --trtcheck``: facts once, plan, results, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_trtcheck.errors import TrtcheckError
from pytest_trtcheck.report.write import check_writable
from pytest_trtcheck.session.outcome import not_run
from pytest_trtcheck.session.run import RUN, Run, run_of
from pytest_trtcheck.session.settings import read_settings

if TYPE_CHECKING:
    from pytest_trtcheck.session.settings import Settings

__all__ = ["not_run", "run_of", "start"]


def start(config: pytest.Config) -> None:
    """Read the settings, take over the selection of what to collect, and register the run.

    Raises pytest.UsageError, one line, for anything that cannot be used, before anything runs.
    """
    worker = hasattr(config, "workerinput")
    try:
        settings = read_settings(config)
        run = Run(config, settings)
        run.matrix.identity  # noqa: B018 - broken overlays are told before anything runs
        if not worker and not config.option.collectonly:
            check_writable(settings.report_folder)
    except TrtcheckError as error:
        raise pytest.UsageError(str(error)) from None
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        # Neither testpaths nor the current folder: the bundled suites are added by the collection plugin.
        config.args = []
    config.stash[RUN] = run
    _register(config, run, settings, worker=worker)


def _register(config: pytest.Config, run: Run, settings: Settings, *, worker: bool) -> None:
    from pytest_trtcheck.session.collect import Collection
    from pytest_trtcheck.session.execute import Execution

    pytest.register_assert_rewrite("pytest_trtcheck._suites")
    config.pluginmanager.register(Collection(run), "trtcheck-collection")
    config.pluginmanager.register(Execution(run), "trtcheck-execution")
    if not worker:
        from pytest_trtcheck.session.conclude import Conclusion

        config.pluginmanager.register(Conclusion(run, settings), "trtcheck-conclusion")
        if config.pluginmanager.hasplugin("xdist"):
            from pytest_trtcheck.session.xdist import HandOver

            config.pluginmanager.register(HandOver(run), "trtcheck-xdist")
