"""Many stored reports at once: found, read, merged into one run or laid side by side, and compared."""
