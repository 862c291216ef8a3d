"""What hosts without a common disk share of a project, by the artefact store: jobs, frames and features."""
