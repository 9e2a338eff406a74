"""Asking a server what it has: server reflection, v1 and v1alpha.

The two differ in nothing but the name of the service, so the message classes of one serve for both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import grpc
from google.protobuf import descriptor_pb2
from google.protobuf.message import DecodeError
from grpc_reflection.v1alpha import reflection_pb2

from .descriptors import MAX_FILES, Files, Unusable, extendable, extensions_of, known_file, services_of

SERVICES: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
_MAX_SERVICES: Final = 1000
_MAX_EXTENDED: Final = 50
_MAX_EXTENSIONS: Final = 100

Metadata = tuple[tuple[str, str | bytes], ...]


class Reflection:
    """Server reflection over one channel.

    Args:
        channel: To the server.
        metadata: Sent with each question.
        seconds: What each question may take.
        most: The most bytes of descriptors to take.

    Attributes:
        taken: How many bytes of descriptors have come.
        skipped: Services that the server lists and cannot describe, with what it said.
    """

    def __init__(self, channel: grpc.aio.Channel, metadata: Metadata, seconds: float, most: int) -> None:
        self._channel = channel
        self._metadata = metadata
        self._seconds = seconds
        self._most = most
        self.taken = 0
        self._service: str | None = None
        self.skipped: dict[str, str] = {}

    async def services(self) -> list[str]:
        """The names of the services, in the server's order.

        Raises:
            Unusable: It has no reflection, or answers nonsense.
            grpc.aio.AioRpcError: It cannot be reached, or refuses.
        """
        answer = await self._ask(reflection_pb2.ServerReflectionRequest(list_services="*"))
        names = [service.name for service in answer.list_services_response.service]
        if len(names) > _MAX_SERVICES:
            raise Unusable(f"the server lists more than {_MAX_SERVICES} services")
        return list(dict.fromkeys(names))

    async def files(self, services: Collection[str], wanted: Callable[[str], bool]) -> Files:
        """The files of some services and everything they import.

        Args:
            services: What the server lists.
            wanted: Says of a service whether it is asked about.

        Raises:
            Unusable: They are too many or too large, or make no sense.
            grpc.aio.AioRpcError: It cannot be reached, or refuses.
        """
        files: Files = {}
        for service in services:
            if not wanted(service) or service in services_of(files):
                continue
            request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=service)
            await self._take(request, files, service)
        await self._imports(files)
        await self._extensions(files)
        await self._imports(files)
        return files

    async def file_of(self, symbol: str, have: Callable[[str], bool]) -> Files:
        """The file that defines a message, and of what it imports that which is not there yet.

        Args:
            symbol: The full name of the message.
            have: Says of a file whether it is there.

        Returns:
            None of them, if the server does not know the message.

        Raises:
            Unusable: They are too large, or make no sense.
            grpc.aio.AioRpcError: It cannot be reached, or refuses.
        """
        files: Files = {}
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
        await self._take(request, files, symbol)
        files = {name: file for name, file in files.items() if not have(name)}
        await self._imports(files, have)
        return files

    async def _imports(self, files: Files, have: Callable[[str], bool] = lambda _: False) -> None:
        asked: set[str] = set()
        while True:
            lacking = [
                name
                for file in list(files.values())
                for name in file.dependency
                if name not in files and name not in asked and not have(name)
            ]
            if not lacking:
                return
            for name in dict.fromkeys(lacking):
                asked.add(name)
                known = known_file(name)
                if known is not None:
                    files[name] = known
                elif name not in files:
                    await self._take(reflection_pb2.ServerReflectionRequest(file_by_filename=name), files, "")

    async def _extensions(self, files: Files) -> None:
        """Take the files that define extensions of these files' messages; a server need not know any."""
        for name in extendable(files)[:_MAX_EXTENDED]:
            request = reflection_pb2.ServerReflectionRequest(all_extension_numbers_of_type=name)
            known = extensions_of(files, name)
            try:
                answer = await self._ask(request)
                numbers = answer.all_extension_numbers_response.extension_number
                for number in [each for each in numbers if each not in known][:_MAX_EXTENSIONS]:
                    wanted = reflection_pb2.ExtensionRequest(containing_type=name, extension_number=number)
                    request = reflection_pb2.ServerReflectionRequest(file_containing_extension=wanted)
                    await self._take(request, files, name)
            except grpc.aio.AioRpcError:
                continue  # many servers know nothing of extensions
            finally:
                self.skipped.pop(name, None)

    async def _take(
        self, request: reflection_pb2.ServerReflectionRequest, files: Files, service: str
    ) -> None:
        answer = await self._ask(request)
        if answer.HasField("error_response"):
            said = answer.error_response.error_message[:200]
            if service:
                self.skipped[service] = said
                return
            raise Unusable(f"the server lacks {request.file_by_filename[:200]!r}, which its services import")
        for raw in answer.file_descriptor_response.file_descriptor_proto:
            try:
                file = descriptor_pb2.FileDescriptorProto.FromString(raw)
            except DecodeError:
                raise Unusable("a descriptor is malformed") from None
            if file.name in files:
                continue  # many servers send everything that is imported, each time
            self.taken += len(raw)
            if self.taken > self._most:
                raise Unusable(f"its descriptors are larger than {self._most} bytes")
            files[file.name] = known_file(file.name) or file
            if len(files) > MAX_FILES:
                raise Unusable(f"its services are in more than {MAX_FILES} files")

    async def _ask(
        self, request: reflection_pb2.ServerReflectionRequest
    ) -> reflection_pb2.ServerReflectionResponse:
        for service in (self._service,) if self._service else SERVICES:
            try:
                answer = await self._round(service, request)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED or self._service:
                    raise
                continue
            self._service = service
            return answer
        raise Unusable("it has no server reflection; configure `descriptors`")

    async def _round(
        self, service: str, request: reflection_pb2.ServerReflectionRequest
    ) -> reflection_pb2.ServerReflectionResponse:
        # One question for each stream is on the wire what a method that takes one message is. As a stream to
        # the server, a refusal that comes before the question is sent would be an error of the library's.
        call = self._channel.unary_stream(f"/{service}/ServerReflectionInfo")(
            request.SerializeToString(), timeout=self._seconds, metadata=self._metadata
        )
        try:
            raw = await call.read()
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise Unusable("reflection does not answer in time") from None
            raise
        finally:
            call.cancel()
        if not isinstance(raw, bytes):
            raise Unusable("reflection ends without an answer")
        try:
            return reflection_pb2.ServerReflectionResponse.FromString(raw)
        except DecodeError:
            raise Unusable("the answer of reflection is malformed") from None
