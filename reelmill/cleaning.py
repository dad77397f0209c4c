"""Sweeps what a power cut left: working folders, drafts of outputs and open uploads that nobody works on any more."""
