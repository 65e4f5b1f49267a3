"""In a child: start TensorRT's plugin registry and count what is in it. No GPU is needed."""

from __future__ import annotations

import importlib
import sys

from pytest_trtcheck._suites.support.tensorrt import TensorRT
from pytest_trtcheck.probe.child_report import report


def main(fd: int) -> None:
    """Report the release and the number of plugin creators, or what went wrong."""
    try:
        api = TensorRT(importlib.import_module("tensorrt"))
        started = api.module.init_libnvinfer_plugins(api.logger, "")
        registry = api.module.get_plugin_registry()
        # The list of 8.6 left with 11.0; the one with all versions of the interface came with 10.0.
        creators = registry.all_creators if hasattr(registry, "all_creators") else registry.plugin_creator_list
        problem = "" if started else f"init_libnvinfer_plugins returned False: {' | '.join(api.errors) or 'no words'}"
        report(fd, {"release": str(api.release), "creators": len(creators), "problem": problem})
    except ImportError as error:
        report(fd, {"cannot_import": True, "problem": str(error)})
    except Exception as error:  # noqa: BLE001 - whatever a library raises is its result
        report(fd, {"creators": 0, "problem": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main(int(sys.argv[1]))
