"""What label-studio-ml looks for: the model class, in a file of this name."""

from pt4al_backend.hosts.label_studio_ml import PT4AL

__all__ = ["PT4AL"]
