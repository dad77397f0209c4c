"""Pictures taken from the source: poster, thumbnails, sprites and an animated preview."""
