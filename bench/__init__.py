"""Measurements of whole jobs against plain ffmpeg."""
