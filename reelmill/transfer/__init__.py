"""Moves huge objects: between two stores, from a file into a bucket, and from a bucket into a file."""
