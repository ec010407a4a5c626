"""Builders that read the real public layouts, and generators of labelled images."""
