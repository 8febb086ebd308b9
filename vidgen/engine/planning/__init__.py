"""Writing the storyboard: by Anthropic, else by rules."""
