"""Prefect tasks: one retryable step each, a few lines, then into the domain."""
