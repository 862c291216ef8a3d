"""What to ask for: arrays in, arrays out."""
