"""What moves a project forward: the work queue, the worker, and the steps of a look."""
