"""Images, judged without being run: every source becomes one root, and the probes of a live stack read through it.

``opened.open_image`` takes a root folder, an OCI layout, an archive of docker or podman, or ``/proc/PID/root``. Layers
are read where they lie (``source``, ``unpacked``: random access to plain, gzip and zstd data), their tar headers once
(``tar``), laid over each other (``tree``) and offered as a ``Root`` (``layered_root``): see ``probe.root`` for what
that is. ``facts.probe_image`` makes the stack that the engine judges.
"""
