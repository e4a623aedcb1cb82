"""Training pairs: the noise model, splits by entity, pairs with hard negatives."""
