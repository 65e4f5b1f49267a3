"""Suite ``decoding``: what requests may ask for beyond greedy answers, on every backend of language models."""

NATIVE = True
NEEDS = ("torch",)
