"""The pure core: what a study is, what its rows mean, what follows. No input or output, no clock, no storage."""
