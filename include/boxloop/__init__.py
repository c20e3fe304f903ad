"""Train an object detector by active learning."""
