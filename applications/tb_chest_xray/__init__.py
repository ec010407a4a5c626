"""Tuberculosis on chest films: lungs segmented, film classified, evidence drawn, operating point chosen."""
