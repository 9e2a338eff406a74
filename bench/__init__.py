"""What the gateway costs: a load generator and a stub upstream in C, and the driver that compares them."""
