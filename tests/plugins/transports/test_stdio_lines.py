from __future__ import annotations

from portico_plugins.transports.stdio.pipe import Pipe


def test_a_frame_with_raw_line_breaks_is_written_as_one_line() -> None:
    pipe = Pipe()
    pipe.end(b'{"result":', b'{\r\n  "a": "x\\ny"\n}', b"}")
    assert pipe._frames == [b'{"result":{    "a": "x\\ny" }}\n']
