"""Models that are wrong on purpose, one mistake each: the suite must catch every one."""
