"""Care of the data: keeping a copy, going back to one, looking whether all is sound, letting go of what is old."""
