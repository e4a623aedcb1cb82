"""From candidates to a decision: exact rules, pair features, scorer, policy, explanation."""
