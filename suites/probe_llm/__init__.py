"""The probe language model: its tasks, its checkpoint and a plain reference that runs it."""
