"""The command line: parses, makes one library call, prints. It never imports Keras."""
