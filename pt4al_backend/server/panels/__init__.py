"""The pages of a project, one module each: what it shows, who reads that, and its two routes, JSON and page."""
