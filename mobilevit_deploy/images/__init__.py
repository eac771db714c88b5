"""Images to compare on: structured ones, and the user's own."""
