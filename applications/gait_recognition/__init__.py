"""Gait recognition: who walks there, by silhouettes as a set."""
