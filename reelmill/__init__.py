"""The domain of Reelmill: probe, plan, encode, merge, verify and publish. Imports no Prefect."""

__version__ = "0.1.0"
