"""What runs emitted code: the only part of bnlab that imports JAX. Each module is imported when it is first used."""
