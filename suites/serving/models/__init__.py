"""Models that the server runs in its Python backend: each file is copied into a model repository as ``model.py``."""
