"""Google Cloud Storage: what is behind `boxloop.storage`, the only door to it."""
