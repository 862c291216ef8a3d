"""``pt4al demo``: the whole loop on a Label Studio of its own, with two annotators who know the answers."""
