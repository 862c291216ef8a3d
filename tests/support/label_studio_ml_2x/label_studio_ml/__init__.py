"""A double of label-studio-ml 2.x, whose sources are on no package index: its routes and base class, as a model meets them.

What it does, in which order, and how it answers an error, is what the files ``api.py`` and ``model.py`` of 2.0.1.dev0 do.
"""
