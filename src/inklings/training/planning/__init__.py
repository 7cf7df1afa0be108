"""What a run would take on accelerators that are not here: computed, not measured."""
