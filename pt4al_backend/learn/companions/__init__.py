"""Companions, one file each: what is trained beside the main task's model, or after it, for a strategy that needs more."""
