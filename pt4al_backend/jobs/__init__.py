"""One training or scoring: its specification, its folder, its process and its results."""
