"""gRPC by tritonclient, which is found, never installed: importing this module raises ImportError where it is not."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tritonclient.grpc as triton_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from pytest_trtcheck._suites.serving.endpoint import AnswerError, TransportError
from pytest_trtcheck._suites.serving.tensors import Tensor

_MOST_WORDS = 400
_NO_ANSWER = ("StatusCode.DEADLINE_EXCEEDED", "StatusCode.UNAVAILABLE")


@dataclass(frozen=True)
class Event:
    """One response of a stream."""

    tensors: dict[str, Tensor]
    request_id: str
    is_final: bool


class GrpcError(AnswerError):
    """The server answered with a gRPC status other than OK."""

    def __init__(self, words: str, code: str) -> None:
        super().__init__(words, 0)
        self.code = code
        """``StatusCode.INVALID_ARGUMENT`` …; empty for an error inside a stream, which has none."""


class GrpcClient:
    """One channel."""

    def __init__(self, address: str) -> None:
        self.client = triton_grpc.InferenceServerClient(address)

    def close(self) -> None:
        """End the channel."""
        self.client.close()

    def infer(self, model: str, tensors: Sequence[Tensor], *, timeout: float = 60.0, **more: Any) -> dict[str, Tensor]:
        """Return the outputs of a model, by name."""
        try:
            result = self.client.infer(model, _inputs(tensors), client_timeout=timeout, **more)
        except InferenceServerException as error:
            raise _raised(error) from None
        return _outputs(result)

    def start(self, model: str, tensors: Sequence[Tensor], timeout: float = 60.0) -> tuple[Any, queue.Queue[Any]]:
        """Start a request and return what cancels it, and the queue that takes its end: outputs or an exception."""
        ends: queue.Queue[Any] = queue.Queue()
        call = self.client.async_infer(
            model,
            _inputs(tensors),
            lambda result, error: ends.put(_raised(error) if error else _outputs(result)),
            client_timeout=timeout,
        )
        return call, ends

    def stream(
        self,
        model: str,
        requests: Sequence[tuple[str, Sequence[Tensor]]],
        *,
        seconds: float = 30.0,
        cancel_after: int | None = None,
    ) -> list[Event]:
        """Send requests, by id, on one stream, and return its events until each request's final one.

        With ``cancel_after``, the stream is cancelled after so many events, and those are returned. TransportError
        when final responses are missing at the end of the time.
        """
        told: queue.Queue[Any] = queue.Queue()
        self.client.start_stream(lambda result, error: told.put(error or result))
        events: list[Event] = []
        cancelled = False
        try:
            for request_id, tensors in requests:
                self.client.async_stream_infer(
                    model, _inputs(tensors), request_id=request_id, enable_empty_final_response=True
                )
            until = time.monotonic() + seconds
            waiting = {request_id for request_id, _ in requests}
            while waiting:
                try:
                    entry = told.get(timeout=max(0.0, until - time.monotonic()))
                except queue.Empty:
                    words = f"no final response of {len(waiting)} of {len(requests)} requests within {seconds:g} s"
                    raise TransportError(f"gRPC stream of {model}: {words}, after {len(events)} events") from None
                event = _event(entry)
                events.append(event)
                if event.is_final:
                    waiting.discard(event.request_id)
                if cancel_after is not None and len(events) >= cancel_after:
                    cancelled = True
                    break
        except BaseException:
            cancelled = True
            raise
        finally:
            self.client.stop_stream(cancel_requests=cancelled)
        return events


def _inputs(tensors: Sequence[Tensor]) -> list[Any]:
    inputs = []
    for tensor in tensors:
        kind = np.object_ if tensor.datatype == "BYTES" else triton_to_np_dtype(tensor.datatype)
        values = np.array(tensor.values, dtype=kind).reshape(tensor.shape)
        entry = triton_grpc.InferInput(tensor.name, list(tensor.shape), tensor.datatype)
        entry.set_data_from_numpy(values)
        inputs.append(entry)
    return inputs


def _outputs(result: Any) -> dict[str, Tensor]:
    tensors = {}
    for entry in result.get_response().outputs:
        values = result.as_numpy(entry.name)
        if (
            values is None
            or np_to_triton_dtype(values.dtype) != entry.datatype
            or list(values.shape) != list(entry.shape)
        ):
            raise AnswerError(f"output {entry.name}: no {entry.datatype} of shape {list(entry.shape)} came with it", 0)
        tensors[entry.name] = Tensor(entry.name, entry.datatype, tuple(entry.shape), tuple(values.reshape(-1).tolist()))
    return tensors


def _event(result: Any) -> Event:
    """Return the event of a stream's result; raises what an error says."""
    if isinstance(result, InferenceServerException):
        raise _raised(result)
    response = result.get_response()
    final = response.parameters.get("triton_final_response")
    return Event(_outputs(result), str(response.id), bool(final is not None and final.bool_param))


def _raised(error: Any) -> AnswerError | TransportError:
    """Return the exception of ours for one of tritonclient's."""
    code, words = str(error.status() or ""), str(error.message())[:_MOST_WORDS]
    if code in _NO_ANSWER:
        return TransportError(f"gRPC {code.removeprefix('StatusCode.')}: {words}")
    return GrpcError(f"gRPC {code.removeprefix('StatusCode.') or 'error in a stream'}: {words}", code)
