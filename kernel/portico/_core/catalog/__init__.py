"""What virtual servers show of their upstreams, and where what clients ask for leads."""
