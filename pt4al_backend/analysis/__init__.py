"""What people want to know of a project, computed from labels, features and predictions. No state, no server, no torch."""
