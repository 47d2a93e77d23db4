"""The protocols between work and adapters, and the values that cross them."""
