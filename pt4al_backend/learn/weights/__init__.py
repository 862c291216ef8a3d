"""Weights: where a network's come from.

``initial`` decides which source a training starts from. The sources: ``imagenet`` has torchvision's files, ``pretrained`` those
of timm's encoders. ``search`` looks for them on this machine, and ``download`` fetches what is missing.
"""
