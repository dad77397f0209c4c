"""Profiles: YAML files that say what to encode."""
