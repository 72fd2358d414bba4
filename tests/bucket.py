"""An S3 server over HTTP that tests can stop and start, and a bucket in it."""

from __future__ import annotations

import json
import logging
import socket
from typing import Any
from urllib.request import urlopen

from moto.server import ThreadedMotoServer

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


class S3:
    """A bucket, `url`, on a server of this process that can be stopped and started."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.url = "s3://shop/mlim"
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server: ThreadedMotoServer | None = None
        self.start()

    def start(self) -> None:
        if self._server is None:
            self._server = ThreadedMotoServer("127.0.0.1", self.port, verbose=False)
            self._server.start()

    def stop(self) -> None:
        """What it holds stays."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def empty(self) -> None:
        urlopen(f"{self.endpoint}/moto-api/reset", b"").close()
        self.client().create_bucket(Bucket="shop")

    def reader(self) -> dict[str, str]:
        """Credentials that may only read, where the server asks for any (`moto.settings`)."""
        import boto3

        iam = boto3.client("iam", endpoint_url=self.endpoint)
        iam.create_user(UserName="reader")
        may = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": "*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [may]})
        iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy)
        key = iam.create_access_key(UserName="reader")["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}

    def client(self) -> Any:
        import boto3

        return boto3.client("s3", endpoint_url=self.endpoint, aws_access_key_id="key", aws_secret_access_key="secret")
