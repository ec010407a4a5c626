"""Facial expression with landmarks."""
