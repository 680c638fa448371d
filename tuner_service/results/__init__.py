"""What a study found: its state, its best trial and model, its export."""
