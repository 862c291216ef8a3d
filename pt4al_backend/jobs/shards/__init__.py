"""Features of millions of images: the listing is cut into shards, which any number of processes on any hosts work through.

A shard is one artefact: the features of its images, which are read where they lie and not kept. Who works at a shard holds its
claim, which ends with its holder; so whatever is killed costs the shards that it held, and nobody is told what to do.
"""
