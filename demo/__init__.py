"""The main job from end to end, told as a story by running the real commands as separate processes."""
