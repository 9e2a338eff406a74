"""A2A: a scripted agent, and the protocol's Technology Compatibility Kit (TCK) through the gateway."""
