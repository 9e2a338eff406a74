"""Text that stands for bytes is base64, wherever it is, or it is told."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, wrappers_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import DescriptorPool

from portico_plugins.upstreams.grpc.base64s import has_bytes, not_base64

_F = descriptor_pb2.FieldDescriptorProto


def messages() -> tuple[Descriptor, Descriptor]:
    """A message with bytes in every place, and one with none in it."""
    pool = DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(name="b.proto", package="b", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    holder = file.message_type.add(name="Holder")
    entry = holder.nested_type.add(name="PairsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL)
    entry.field.add(name="value", number=2, type=_F.TYPE_BYTES, label=_F.LABEL_OPTIONAL)
    fields = (
        ("one", _F.TYPE_BYTES, _F.LABEL_OPTIONAL, ""),
        ("some_more", _F.TYPE_BYTES, _F.LABEL_REPEATED, ""),
        ("pairs", _F.TYPE_MESSAGE, _F.LABEL_REPEATED, ".b.Holder.PairsEntry"),
        ("maybe", _F.TYPE_MESSAGE, _F.LABEL_OPTIONAL, ".google.protobuf.BytesValue"),
        ("inner", _F.TYPE_MESSAGE, _F.LABEL_REPEATED, ".b.Holder"),
        ("text", _F.TYPE_STRING, _F.LABEL_OPTIONAL, ""),
    )
    for number, (name, kind, label, of) in enumerate(fields, 1):
        holder.field.add(name=name, number=number, type=kind, label=label, type_name=of or None)
    plain = file.message_type.add(name="Plain")
    plain.field.add(name="text", number=1, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL)
    plain.field.add(
        name="self", number=2, type=_F.TYPE_MESSAGE, label=_F.LABEL_OPTIONAL, type_name=".b.Plain"
    )
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindMessageTypeByName("b.Holder"), pool.FindMessageTypeByName("b.Plain")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"one": "hello world"}, "one"),
        ({"one": "aGk=="}, ""),
        ({"one": "a=Gk"}, "one"),
        ({"someMore": ["aGk=", "!"]}, "someMore"),
        ({"some_more": ["-_8"]}, ""),
        ({"some_more": ["é"]}, "some_more"),
        ({"pairs": {"k": "aGk=", "l": "a b"}}, "pairs"),
        ({"maybe": "?"}, "maybe"),
        ({"maybe": None}, ""),
        ({"inner": [{}, {"inner": [{"one": "*"}]}]}, "inner.inner.one"),
        ({"text": "hello world", "[b.ext]": "x y"}, ""),
        ({"one": "aGVsbG8g\nd29ybGQ=\n"}, ""),
    ],
)
def test_text_that_is_no_base64_is_found_where_it_is(given: Any, place: str) -> None:
    holder, plain = messages()
    assert not_base64(holder, given) == place
    assert (has_bytes(holder), has_bytes(plain)) == (True, False)


def test_bytes_that_are_the_whole_message_are_looked_at_too() -> None:
    value = wrappers_pb2.BytesValue.DESCRIPTOR
    assert (not_base64(value, "aGk="), not_base64(value, "a b")) == ("", "value")
