"""Frozen encoders: pretrained networks whose features are computed once, and heads that are trained on them."""
