"""What does not depend on the image."""
