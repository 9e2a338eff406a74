"""What the A2A upstream and the A2A transport share.

`missing` says whether the SDK is there, `protojson` turns its messages into JSON and back, `parts` maps parts
of A2A messages to content blocks of MCP and back, and `states` says what the states of tasks mean. Only
`protojson` needs the SDK.
"""
