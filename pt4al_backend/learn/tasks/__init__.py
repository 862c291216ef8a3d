"""Main tasks, one file each: what the annotators' labels teach."""
