"""The Keras side: study files, data, and the child processes that train. The only room that imports Keras."""
