"""Data sets with known answers, one file each: what the benchmark and the demo learn from."""
