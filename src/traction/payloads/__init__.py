"""Values as JSON text and back: the codec, its transforms, payload stores and failures."""

from typing import TYPE_CHECKING

from traction.lazy_imports import import_lazily

if TYPE_CHECKING:
    from traction.payloads.codec import JSON, Codec
    from traction.payloads.failures import DeclaredError
    from traction.payloads.stores import PayloadStore
    from traction.payloads.transforms import Compress, Transform

__all__ = ["Codec", "Compress", "DeclaredError", "JSON", "PayloadStore", "Transform"]

__getattr__ = import_lazily(
    __name__,
    {
        "Codec": "traction.payloads.codec",
        "Compress": "traction.payloads.transforms",
        "DeclaredError": "traction.payloads.failures",
        "JSON": "traction.payloads.codec",
        "PayloadStore": "traction.payloads.stores",
        "Transform": "traction.payloads.transforms",
    },
)
