"""What a study's rows mean: which are missing, who has which, what an outcome makes of one."""
