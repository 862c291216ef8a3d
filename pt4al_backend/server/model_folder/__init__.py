"""What lies beside a model that is taken away."""
