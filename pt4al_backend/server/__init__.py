"""The HTTP app: Label Studio's protocol, the status API, the status pages, the metrics."""
