"""What people run beside the backend: the supervisor, the doctor, ranking before import."""
