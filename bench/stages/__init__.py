"""The way of one notification, stage by stage: what each costs, and what it may cost."""
