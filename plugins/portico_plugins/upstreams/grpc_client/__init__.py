"""What upstreams that call gRPC share: channels to judged addresses, and what a failed call's status means.

It imports gRPC, which is an extra: plugins import it late.
"""
