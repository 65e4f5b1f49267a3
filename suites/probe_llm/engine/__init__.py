"""A small in-flight-batching engine in plain torch, on the probe model: the built-in backend ``torch``.

Written to be read and to be broken: each thing that may go wrong in a real engine is a method or a class of its own, so
that a deliberately broken engine overrides one. Its parts, from the ground up:

- ``kv``: a pool of blocks with counts of their users and keys that they may be found by, and the numbers in them.
- ``model``: one forward over new tokens of several sequences; linear layers and the store are handed in.
- ``adapter``: what LoRA adds to a layer's output.
- ``speculation``: what proposes tokens ahead. What chooses them is ``probe_llm.choosing``.
- ``job``: a request on its way: its tokens, its blocks, its pieces, how it ends. ``beams``: one with several sequences.
- ``scheduler``: who takes part in a step: arrivals, slots, chunks of prompts, eviction.
- ``session``: the steps, and what a backend's session has to answer.
"""
