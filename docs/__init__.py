"""What the manual is made by: its reference, worked out of the code, and the site."""
