"""A study as TensorBoard reads it: the curves of every run as scalars, and a row a trial in the HParams tab.

The files are written with TensorBoard's own messages and records; TensorFlow is not needed, nor loaded.
"""
