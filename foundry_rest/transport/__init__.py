"""The values that travel between client and service, and what sends and receives them."""
