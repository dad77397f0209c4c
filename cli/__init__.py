"""The `reelmill` command."""
