"""Collection of the bundled suites, wherever the package is installed and whatever the user's ini file says."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_trtcheck.model.facts import Stack
    from pytest_trtcheck.session.run import Run
    from pytest_trtcheck.session.settings import Settings

SUITES_PACKAGE = "pytest_trtcheck._suites"

ROOT = "trtcheck"
"""Node id of all that is bundled."""


def suite_of(item: pytest.Item) -> str | None:
    """Return the name of the bundled suite that an item belongs to, None for the user's own tests."""
    module = item.getparent(SuiteModule)
    return module.suite if module else None


def present_suites(stack: Stack, settings: Settings) -> list[str]:
    """Return the bundled suites that have what they need here, or a setting that stands in for it."""
    return [
        name
        for name, suite in _suites()
        if all(stack.get(key).is_found for key in suite.NEEDS)
        or any(getattr(settings, key) is not None for key in getattr(suite, "INSTEAD", ()))
    ]


def native_suites(config: pytest.Config, run: Run) -> frozenset[str]:
    """Return the bundled suites that run native code in the process that runs them.

    A package that can tell whether it does so here has ``runs_native``.
    """
    found = [(name, suite) for name, suite in _suites() if suite.NATIVE and name in run.suites]
    return frozenset(name for name, suite in found if getattr(suite, "runs_native", _always)(config, run))


def _always(config: pytest.Config, run: Run) -> bool:  # noqa: ARG001 - as a package's own
    return True


def provider_plugins() -> list[Any]:
    """Return what the bundled packages bring as plugins: fixtures, and providers through the hooks of everybody's."""
    names = [f"{package.__name__}.{part}" for _, package in _packages() for part in ("providers", "fixtures")]
    return [importlib.import_module(name) for name in names if importlib.util.find_spec(name)]


def _suites() -> list[tuple[str, Any]]:
    return [(name, package) for name, package in _packages() if hasattr(package, "NEEDS")]


def _packages() -> list[tuple[str, Any]]:
    root = importlib.import_module(SUITES_PACKAGE)
    names = [name for _, name, is_package in pkgutil.iter_modules(root.__path__) if is_package and name[0] != "_"]
    return [(name, importlib.import_module(f"{SUITES_PACKAGE}.{name}")) for name in names]


class SuiteModule(pytest.Module):
    """A bundled test file. Always imported by its full name, never through sys.path or the user's patterns."""

    suite: str
    import_name: str

    def _getobj(self) -> Any:
        return importlib.import_module(self.import_name)

    def funcnamefilter(self, name: str) -> bool:
        """Collect ``test_*`` whatever ``python_functions`` says."""
        return name.startswith("test_")


def without_foreign_fixtures(item: pytest.Item) -> None:
    """Take from a bundled check the autouse fixtures of conftests and other plugins: they are for other tests.

    What the check itself asks for stays, with all that those fixtures ask for.
    """
    info = getattr(item, "_fixtureinfo", None)
    names: list[str] = getattr(item, "fixturenames", [])
    if info is None:
        return
    wanted: set[str] = set()
    queue = [*info.argnames, *(name for name in names if _is_ours(info, name))]
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted.add(name)
            definitions = info.name2fixturedefs.get(name, ())
            queue += [asked for definition in definitions[-1:] for asked in definition.argnames]
    names[:] = [name for name in names if name in wanted]


def _is_ours(info: Any, name: str) -> bool:
    """Say whether a fixture comes from a bundled suite: written there, or made by pytest for its setup functions."""
    definitions = info.name2fixturedefs.get(name, ())
    return any(
        definition.func.__module__.startswith(SUITES_PACKAGE) or definition.baseid.startswith(f"{ROOT}/")
        for definition in definitions
    )


class Suites(pytest.Collector):
    """Root of the bundled suites."""

    def collect(self) -> Iterator[SuiteModule]:
        """Yield one module for each test file of the suites that have something to run, in a fixed order."""
        from pytest_trtcheck.session.run import run_of

        suites = run_of(self.config).suites
        package = importlib.import_module(SUITES_PACKAGE)
        for folder in package.__path__:
            for path in sorted(Path(folder).glob("[!_]*/test_*.py")):
                suite = path.parent.name
                if suite not in suites:
                    continue
                module = SuiteModule.from_parent(self, path=path, nodeid=f"{ROOT}/{suite}/{path.name}")
                module.suite = suite
                module.import_name = f"{SUITES_PACKAGE}.{suite}.{path.stem}"
                yield module


class Collection:
    """Adds the bundled suites to what pytest collected, before -k, -m, --lf and --deselect look at the items."""

    def __init__(self, run: Run) -> None:
        self.run = run

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Put the bundled suites before the user's own tests."""
        items[:0] = self.run.plan(session)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> None:
        """Plan in the xdist controller too: it collects nothing, yet must know what was planned if a worker dies."""
        if session.config.pluginmanager.hasplugin("dsession"):
            self.run.plan(session)
