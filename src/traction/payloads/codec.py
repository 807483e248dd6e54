"""Convert values to payloads and back.

Values are written as JSON and read as a declared type, by msgspec; nothing is evaluated or imported. Fields that a type
no longer has are ignored, and fields that it has gained have their defaults; any other difference is a `PayloadError`.
A codec may have transforms and a store, which a payload names (`transforms`, `stores`).
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable
from math import isfinite
from typing import Any

import msgspec

from traction.errors import PayloadError
from traction.model.limits import SWF
from traction.payloads.losses import Loss, find_loss, is_lossless
from traction.payloads.samples import write_sample
from traction.payloads.stores import DECODED_BYTES_MAX, PayloadStore, StoreCache
from traction.payloads.transforms import MARK, Chain, Transform
from traction.runtime.turn import leave_flow

PAYLOAD_CHARS_MAX = SWF.payload_chars_max
"""The most characters that an input, a result, a detail or a control may have (SWF)."""


MAY_EVOLVE = (
    "Fields may be removed, and added with defaults; any other change of a type needs a new version of the definition"
)
"""What to do about a payload that was written under another version of a type."""

HINT_VALUE = "Return or pass a value of that type, or declare another type"
"""What to do about a value that is of another type than the declared one."""

HINT_READING = "Pass the type as which it was written"
"""What to do about a payload that is read as a type which the caller names."""


class Codec:
    """JSON by msgspec, with optional transforms and an optional store.

    Args:
        transforms: applied to the text in this order: `Compress()`, then `Encrypt(keys)`.
        store: keeps payloads that are too long for SWF. Without one they are refused.
        bytes_max: the most bytes that a payload may have, whether stored, compressed or plain. All processes that share
            executions need the same limit.

    Laws:
        `decode(encode(x), type(x)) == x` for every value that msgspec can read back.
        Without transforms, a payload that is not too long is plain JSON.
        If a transform hides payloads (`Encrypt`), errors show the type, length and place of a payload, never its text.
    """

    __slots__ = ("_chain", "_decoders", "_encoder", "_exact", "_plain_chars_max")

    def __init__(
        self, *transforms: Transform, store: PayloadStore | None = None, bytes_max: int = DECODED_BYTES_MAX
    ) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoders: dict[Any, msgspec.json.Decoder[Any]] = {}
        self._chain = Chain(transforms, None if store is None else StoreCache(store), bytes_max)
        # Longer texts go through the chain: all of them if it has transforms.
        self._plain_chars_max = -1 if transforms else PAYLOAD_CHARS_MAX
        self._exact = False

    def exactly(self) -> Codec:
        """Return a codec that also refuses values that are read back equal but as another type. Simulations use one."""
        codec = self._copy(self._chain)
        codec._exact = True
        return codec

    @property
    def exact(self) -> bool:
        """Whether values that are read back as another type are refused."""
        return self._exact

    def with_store(self, store: PayloadStore) -> Codec:
        """Return a codec with the same transforms that stores payloads which are too long for SWF."""
        return self._with_cache(StoreCache(store))

    @property
    def hides(self) -> bool:
        """Whether a transform hides payloads, so that no error or log may show their text."""
        return self._chain.hides

    @property
    def has_store(self) -> bool:
        """Whether there is a store for payloads that are too long for SWF."""
        return self._chain.cache is not None

    def defer(self) -> Codec:
        """Return a codec that reads as this one does, and writes to the store only at `settle`.

        A decider has such a codec: its payloads may be in the history already, or may never be sent.
        """
        cache = self._chain.cache
        return self if cache is None else self._with_cache(cache.defer())

    def settle(self, payloads: Iterable[str | None], *, more: bool = False) -> None:
        """Write the texts to which these payloads refer to the store, before they are sent.

        Args:
            payloads: the payloads that are sent.
            more: whether other encoded payloads will be sent later; if not, they are dropped.

        Raises:
            PayloadStoreError: the store cannot be written.
        """
        cache = self._chain.cache
        if cache is not None:
            for payload in payloads:
                if payload is not None:
                    self._chain.settle(payload)
            if not more:
                cache.forget()

    def _with_cache(self, cache: StoreCache) -> Codec:
        return self._copy(Chain(self._chain.transforms, cache, self._chain.bytes_max))

    def _copy(self, chain: Chain) -> Codec:
        codec = Codec()
        codec._encoder, codec._decoders = self._encoder, self._decoders
        codec._chain, codec._plain_chars_max, codec._exact = chain, self._plain_chars_max, self._exact
        return codec

    def encode(self, value: object, chars_max: int = PAYLOAD_CHARS_MAX, what: str | None = None) -> str:
        """Write a value in at most `chars_max` characters; `what` names it in errors.

        Raises:
            PayloadError: the value cannot be written, or its text is too long.
            PayloadStoreError: the store cannot be written.
        """
        payload = self.write(value)
        if len(payload) > self._plain_chars_max or len(payload) > chars_max:
            payload = self.pack(payload, chars_max, what or type(value).__name__)
        return payload

    def encode_call(self, call: Any) -> str:
        """Write a call or a signal, and check that it can be read back.

        Raises:
            PayloadError: as `encode`; or a field is not of the type that the class declares.
            PayloadStoreError: the store cannot be written.
        """
        text = self.write(call)
        if not is_lossless(call):
            self._check_call(call, text)
        return text if len(text) <= self._plain_chars_max else self.pack(text, PAYLOAD_CHARS_MAX, type(call).__name__)

    def _check_call(self, call: Any, text: str) -> None:
        read, fault = self._read(text, type(call))
        if fault is not None:
            for name in call.__struct_fields__:
                if hasattr(getattr(call, name), "__await__"):
                    raise PayloadError(
                        f"{self._show(call)} cannot be sent: its {name} is a step that was not awaited, instead of a "
                        "value. Write await ... for its result"
                    ).as_bug()
            raise PayloadError(
                f"{self._show(call)} cannot be sent: {self._explain(fault)}. Pass values of the types that the fields "
                f"of {name_type(type(call))} declare"
            ).as_bug(is_type_fault(fault)) from self._get_cause(fault)
        if loss := self._find_loss(call, read):
            raise PayloadError(loss.explain(f"{self._show(call)} cannot be sent: it")).as_bug()

    def encode_as(self, value: object, type: Any, what: str, chars_max: int = PAYLOAD_CHARS_MAX) -> str:
        """Write a value, and check that it can be read back as the declared type; `what` names it in errors.

        Raises:
            PayloadError: as `encode`; or it does not decode as the type, or is not read back equal.
            PayloadStoreError: the store cannot be written.
        """
        text = self.write(value)
        if loss := self._find_loss(value, self.decode(text, type, what, HINT_VALUE)):
            raise PayloadError(loss.explain(what)).as_bug()
        if len(text) > self._plain_chars_max or len(text) > chars_max:
            return self.pack(text, chars_max, what)
        return text

    def _find_loss(self, live: object, read: object) -> Loss | None:
        """Return the part of a value that is not read back equal, if any."""
        try:
            if live == read and not self._exact:
                return None
        except Exception:  # a faulty __eq__ of the user's: compare the parts
            pass
        return find_loss(live, read, exact=self._exact, show_keys=not self.hides)

    def write(self, value: object) -> str:
        """Write a value as JSON of any length.

        Raises:
            PayloadError: the value cannot be written.
        """
        fault: Exception
        try:
            payload = self._encoder.encode(value).decode()
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            fault = error
        else:
            if "null" in payload and (culprit := _find_unwritable(msgspec.to_builtins(value))) is not None:
                raise PayloadError(
                    f"{self._show(value)} cannot be written as JSON: JSON has no {culprit!r}, which would be read "
                    "as null; use None, or a string"
                )
            return payload
        # Outside of the except clause, so that a hidden value is not in the error's context either.
        raise PayloadError(
            f"{self._show(value)} cannot be written as JSON: {self._explain(fault)}. Use numbers, strings, lists, "
            "dicts, dataclasses or msgspec.Structs"
        ).as_bug(is_type_fault(fault)) from self._get_cause(fault)

    def pack(self, text: str, chars_max: int, what: str) -> str:
        """Transform JSON, and store it if it is too long then; `what` names it in errors.

        Raises:
            PayloadError: it is longer than `chars_max`, and there is no store.
            PayloadStoreError: the store cannot be written.
        """
        payload = leave_flow(self._chain.pack, text, chars_max, what)
        if len(payload) > chars_max:
            written = "after its transforms" if payload.startswith(MARK) else "as JSON"
            limit = "SWF accepts at most" if chars_max == PAYLOAD_CHARS_MAX else "there is room for"
            raise PayloadError(
                f"{what} has {len(payload):,} characters {written}, and {limit} {chars_max:,}; pass a reference (a "
                "key, a path) instead, or use a payload store: WorkerSystem(..., payloads=...)"
            )
        return payload

    def seal(self, text: str) -> str | None:
        """Transform a text that is not a payload of its own, or return `None` if no transform hides payloads.

        It may be of any length, and is never stored. Only `decode` reads it.
        """
        return self._chain.seal(text) if self.hides else None

    def decode(self, payload: str | None, type: Any, what: str = "payload", hint: str = MAY_EVOLVE) -> Any:
        """Read a value of the given type; an absent payload is read as `null`.

        Errors name the payload `what`, and end with `hint` if the value is of another type.

        Raises:
            PayloadError: the text is not JSON, or not of that type.
            InvalidPayloadError: no codec can read it, or it is larger than this one allows.
            PayloadUnavailableError: a key, a store or a transform that is needed to read it is missing.
        """
        try:
            decoder = self._decoders[type]
        except (KeyError, TypeError):
            decoder = self._get_decoder(type)
        # Faults are kept, and raised outside of the except clauses: a hidden value must not be in the error's context.
        text: str | bytes = payload if payload is not None else "null"
        fault: Exception
        try:
            return decoder.decode(text)
        except Exception as error:
            fault = error
        # Plain JSON costs nothing extra: no decoder accepts a transformed payload.
        if payload is not None and payload.startswith(MARK):
            text = leave_flow(self._chain.unpack, payload, what)
            try:
                return decoder.decode(text)
            except Exception as error:
                fault = error
        if isinstance(fault, msgspec.DecodeError | UnicodeError) and not isinstance(fault, msgspec.ValidationError):
            hint = "Traction did not write it; look for another program that uses this task list"
        if self.hides:
            shown = f"It has {len(text):,} {'characters' if isinstance(text, str) else 'bytes'}, not shown here"
        else:
            read = text.decode(errors="backslashreplace") if isinstance(text, bytes) else payload
            shown = "There is no payload" if read is None else f"The payload is {read!r:.200}"
        raise PayloadError(
            f"{what} does not decode as {name_type(type)}: {self._explain(fault)}. {shown}. {hint}"
        ).as_bug(is_type_fault(fault)) from self._get_cause(fault)

    def decode_call(self, payload: str | None, type: Any, what: str = "payload") -> Any:
        """Read a call or a signal, which any sender may have written; an absent payload is read as `{}`.

        Raises:
            PayloadError, InvalidPayloadError, PayloadUnavailableError: as `decode`; the text shows what to send.
        """
        if payload not in _EMPTY:
            try:
                return self.decode("{}" if payload is None else payload, type, what)
            except PayloadError:
                if payload is not None:
                    raise
        is_so = "is absent" if payload is None else f"is {payload!r}"
        raise PayloadError(
            f"{what} {is_so}, but {name_type(type)} needs a JSON object of its fields, such as {write_sample(type)}"
        ) from None

    def _get_decoder(self, type: Any) -> msgspec.json.Decoder[Any]:
        try:
            return self._decoders[type]
        except KeyError:
            decoder = self._decoders[type] = msgspec.json.Decoder(type)
            return decoder
        except TypeError:  # an unhashable annotation
            return msgspec.json.Decoder(type)

    def _read(self, text: str, type: Any) -> tuple[Any, Exception | None]:
        """Return the value of a JSON text, or the error that the decoder of the type raises."""
        try:
            return self._get_decoder(type).decode(text), None
        except Exception as error:
            return None, error

    def _show(self, value: object) -> str:
        if not self.hides:
            try:
                return f"{value!r:.200}"
            except Exception:  # too deep, or of a class with a faulty repr
                pass
        return f"a {name_type(type(value))}"

    def _explain(self, error: Exception) -> str:
        return explain_without_values(error) if self.hides else str(error)

    def _get_cause(self, error: Exception) -> Exception | None:
        return None if self.hides else error


def is_type_fault(error: Exception) -> bool:
    """Return whether a value is of a wrong type, rather than one that its type does not allow.

    Example:
        >>> is_type_fault(msgspec.ValidationError("Expected `int`, got `str`"))
        True
        >>> is_type_fault(msgspec.ValidationError("Expected `int` >= 0"))
        False
    """
    return isinstance(error, TypeError) or (isinstance(error, msgspec.ValidationError) and "`, got `" in str(error))


def explain_without_values(error: BaseException) -> str:
    """Return the text of an error of msgspec without any part of the value.

    Example:
        >>> explain_without_values(msgspec.ValidationError("Expected `int`, got `str` - at `$.age`"))
        'Expected `int`, got `str` - at `$.age`'
        >>> explain_without_values(msgspec.ValidationError("Invalid enum value 'hunter2' - at `$.color`"))
        'it has a value that the type does not take - at `$.color`'
    """
    text = str(error)
    # An error that a class of the user raises has a cause, and may contain anything.
    if error.__cause__ is None and isinstance(error, _OF_MSGSPEC) and _WITHOUT_VALUES.match(text):
        return text
    if isinstance(error, UnicodeError | RecursionError):
        return f"{type(error).__name__}"
    place = _PLACE.search(text)
    return f"it has a value that the type does not take{place[0] if place else ''}"


_OF_MSGSPEC = (msgspec.MsgspecError, TypeError)

_WITHOUT_VALUES = re.compile(
    r"Expected `|Object missing required field `|Invalid (RFC3339|ISO8601|epoch|UUID|decimal|base64)|Number out of |"
    r"Integer (value )?out of |JSON is malformed|Input data was truncated|Encoding objects of |Only dicts with |"
    r"Enums must |unhashable type"
)
"""The beginnings of msgspec's texts that show types and places, but no values."""

_PLACE = re.compile(r" - at (`key` in )?`\$[\w.\[\]]*`$")


_EMPTY = ("", "null", '""')
"""What senders that use no fields write for an empty input."""


def write_canonically(value: object) -> bytes:
    """Write a value so that equal values have equal texts in every process. For names; it cannot be read back."""
    return msgspec.json.encode(_order(value))


def _order(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return {name: _order(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return sorted((write_canonically(key), write_canonically(each)) for key, each in value.items())
    if isinstance(value, set | frozenset):
        return sorted(map(write_canonically, value))
    if isinstance(value, list | tuple):
        return [_order(each) for each in value]
    return value


def name_type(type: Any) -> str:
    """Name a type as a user would write it."""
    if type is builtins.type(None):
        return "None"
    return type.__qualname__ if isinstance(type, builtins.type) and not hasattr(type, "__args__") else str(type)


def _find_unwritable(value: Any) -> float | None:
    """Return a float that JSON does not have in a value of `msgspec.to_builtins`, if any."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, float) and not isfinite(one):
            return one
        if isinstance(one, dict):
            stack.extend(one)
            stack.extend(one.values())
        elif isinstance(one, list | tuple):
            stack.extend(one)
    return None


JSON = Codec()
"""The default codec."""
