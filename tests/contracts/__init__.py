"""Adapters held to what is recorded of each release, on stand-ins made from those records."""
