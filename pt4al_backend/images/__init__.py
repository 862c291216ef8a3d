"""From an image reference that nobody vouches for to a stored frame."""
