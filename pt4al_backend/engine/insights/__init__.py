"""What pages show and what takes seconds or more to compute, one file each; ``background`` computes it beside the looks."""
