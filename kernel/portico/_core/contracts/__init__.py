"""The contracts between the kernel and plugins: one small Protocol per kind, and what passes between them.

A row is made of what is in the rows above it, and knows nothing else of the kernel but its errors:

* `json`, `clock`, `log`: what is everywhere.
* `config`: what config fields may be besides plain values. `auth`: who is calling.
* `exchange`: a request in flight. `result`: what comes of it. `records`: what is managed at run time.
* What plugins implement, by kind: `upstreams`, `policies`, `transports`, `servers` (and `direct`, for both),
  `credentials`, `stores`, `observers`, `ui`; auth schemes are in `auth`, loaders in `config`, registries in
  `records`.
* `definitions`, `management`: what may be done at run time. `wiring`: the data plane.
* `host`: what components are given, those two included. `factory`: what a plugin's hooks return.
"""
