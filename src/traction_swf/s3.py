"""A payload store in Amazon S3. Each payload is an object, `prefix/key`.

Payloads are never deleted. Use a lifecycle rule of the bucket that is longer than the retention of the histories.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from traction.errors import BackendError
from traction.extras import needed_by
from traction.payloads.stores import PayloadStore

with needed_by("the payload store s3://"):
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

_ABSENT = frozenset({"NoSuchKey", "404"})
_OPTIONS = ("region", "endpoint", "profile")
_USAGE = "write s3://bucket/prefix?region=eu-west-1, optionally with endpoint and profile"


class BucketStore(PayloadStore):
    """A bucket, or the objects in it with a prefix."""

    def __init__(self, client: Any, bucket: str, prefix: str = "", *, url: str | None = None) -> None:
        self.url = url or f"s3://{bucket}/{prefix}"
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""

    def put(self, key: str, data: bytes) -> None:
        try:
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data)
        except (ClientError, BotoCoreError) as error:
            raise BackendError(str(error)) from error

    def get(self, key: str) -> bytes | None:
        return self._read(key, None)

    def get_bounded(self, key: str, bytes_max: int) -> bytes | None:
        return self._read(key, bytes_max + 1)

    def _read(self, key: str, amount: int | None) -> bytes | None:
        try:
            with closing(self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"]) as body:
                data: bytes = body.read(amount)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _ABSENT:
                return None
            # Without permission to list the bucket, a missing object is a 403 (S3).
            raise BackendError(str(error)) from error
        except BotoCoreError as error:
            raise BackendError(str(error)) from error
        return data


def open_bucket(url: str) -> BucketStore:
    """Open `s3://bucket/prefix`. Sends nothing yet.

    Raises:
        BackendError: the URL or the AWS configuration is wrong.
    """
    parts = urlsplit(url)
    given = parse_qsl(parts.query, keep_blank_values=True)
    options = dict(given)
    if not parts.netloc or parts.fragment:
        raise BackendError(f"{url!r} does not name a bucket: {_USAGE}")
    if len(options) != len(given) or not options.keys() <= set(_OPTIONS) or not all(options.values()):
        raise BackendError(f"{url!r} has an option that is unknown, empty or given twice: {_USAGE}")
    try:
        session = boto3.Session(profile_name=options.get("profile"), region_name=options.get("region"))
        make: Any = session.client
        # Puts and gets are idempotent, and threads share the connections.
        client = make(
            "s3",
            endpoint_url=options.get("endpoint"),
            config=Config(retries={"mode": "standard", "max_attempts": 5}, max_pool_connections=50),
        )
    except (BotoCoreError, ValueError) as error:
        raise BackendError(f"{url!r}: {error}") from error
    return BucketStore(client, parts.netloc, unquote(parts.path).strip("/"), url=url)
