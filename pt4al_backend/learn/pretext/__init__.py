"""Pretext tasks, one file each: what ranks the pool before anyone has labelled anything."""
