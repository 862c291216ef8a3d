"""What to query: arrays in, arrays out."""
