"""The quickstart on a real S3 server of this machine, killed again and again, every second time with its machine.

    python benchmarks/storage.py                     # shortened, through fine-tuning to the report: some minutes
    python benchmarks/storage.py --kills 10 --whole  # as the recipe is

Feeds, pictures, pairs, cache and checkpoints are on the server. The quiet run that it is compared with has its cache on
disk. Needs the extra `test` (moto).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.bucket import ENVIRONMENT, S3  # noqa: E402

SHORT = ("pretrain.epochs=2", "finetune.match.label_shares=[1]", "finetune.match.seeds=[0]")
SHORTER = ("finetune.match.pretrained.epochs=1", "finetune.match.scratch=null", "finetune.classify=null")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--kills", type=int, default=10)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--goal", default="run", choices=("pretrain", "finetune", "run"))
    asked.add_argument("--whole", action="store_true", help="train as long as the recipe says")
    arguments = asked.parse_args()
    server = S3()
    server.empty()
    for file in (ROOT / "data" / "market").iterdir():
        if file.is_file():
            server.client().upload_file(str(file), "shop", f"market/{file.name}")
    sets = [
        *(f"catalog.feeds.{i}.path=s3://shop/market/{name}" for i, name in enumerate(("google.csv", "twitter.tsv"))),
        *(f"catalog.feeds.{i}.pictures=s3://shop/market/{n}" for i, n in enumerate(("google.zip", "twitter.tar"))),
        "finetune.match.pairs=s3://shop/market/pairs.csv",
        *(() if arguments.whole else (*SHORT, *SHORTER)),
        f"runtime.cache={server.url}",
    ]
    environment = os.environ | ENVIRONMENT | {"AWS_ENDPOINT_URL": server.endpoint}
    command = [sys.executable, "-m", "workbench", "chaos", str(ROOT / "recipes" / "quickstart.yaml")]
    command += ["--goal", arguments.goal, "--kills", str(arguments.kills), "--seed", str(arguments.seed)]
    with tempfile.TemporaryDirectory(prefix="mlim-storage-") as scratch:
        options = [word for each in (*sets, f"runtime.scratch={scratch}") for word in ("--set", each)]
        code = subprocess.run([*command, *options], env=environment, cwd=ROOT, check=False).returncode
    server.stop()
    sys.exit(code)


if __name__ == "__main__":
    main()
