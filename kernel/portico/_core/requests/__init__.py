"""The way of a request: who is calling, the exchange, policies, routing, the answer in the client's words."""
