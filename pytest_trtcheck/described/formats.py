"""Names of what can be read, apart from the readers: the command line lists them on every start."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

AUTO = "auto"
DOCUMENTS = "yaml"

PASTED: Mapping[str, str] = MappingProxyType(
    {
        "nvidia-smi": "output of nvidia-smi",
        "collect-env": "output of torch.utils.collect_env",
        "vllm-collect-env": "output of vllm collect-env",
        "pip-list": "output of pip list",
        "pip-freeze": "output of pip freeze",
        "issue-form": "TensorRT-LLM issue form",
    }
)
"""Titles of pasted formats by the name that ``--from`` takes. Where one text has several, the earlier is believed."""

FORMS = (AUTO, DOCUMENTS, *PASTED)
"""All that ``--from`` takes."""
