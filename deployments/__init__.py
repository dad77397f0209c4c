"""Where flows run: work pools, images and manifests, and the little that applies them."""
