"""EM as one writes it by hand in plain JAX: the floor that emitted files must reach."""
