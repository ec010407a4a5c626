"""Writer identification on words and pages of handwriting."""
