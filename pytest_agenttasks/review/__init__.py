"""What a person looks at after a run: the facts, ranked by risk, on one screen or step by step."""
