"""A store made to be handed out, and found by those who have it. `materialize` makes one of each form."""
