"""The plugins that come with Portico, one folder a kind."""

import os

# Read when gRPC is first used. Its handlers of forks crash the child of a process that has calls under way;
# a child of ours runs another program at once, and needs none of them.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
