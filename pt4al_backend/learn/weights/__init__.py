"""Weights: where a network's come from.

``initial`` decides which source a training starts from. The sources: ``imagenet`` has torchvision's files, ``pretrained`` those
of timm's encoders; both look on this machine first, then ``download``.
"""
