"""The numbers of installations past one machine; ``python -m pt4al_backend.bench.scale``."""
