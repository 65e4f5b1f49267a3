"""Renderers of a RunReport. They compute nothing and escape everything."""
