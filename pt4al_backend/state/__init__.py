"""The state in SQL: projects, tasks, rounds, publications, and the lease."""
