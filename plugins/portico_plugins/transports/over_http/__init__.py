"""What the transports over HTTP share: fields, answers, and which virtual server a path leads to."""
