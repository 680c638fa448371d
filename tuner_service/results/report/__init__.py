"""The report of a study: its content, the figures that show it, and the files that are made of them."""
