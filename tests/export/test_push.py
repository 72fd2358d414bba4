import json
from types import SimpleNamespace

import huggingface_hub
import pytest
from typer.testing import CliRunner

from tests.export.conftest import portable
from workbench.cli import app
from workbench.errors import DataError, MlimError
from workbench.export.push import check, push


class Hub:
    """What is asked of the hub, in order."""

    def __init__(self, token=None):
        self.token, self.asked = token, []

    def whoami(self):
        if self.token == "old":
            raise OSError("Invalid user token.\nmore")
        return {"name": "shop"}

    def create_repo(self, repo, **how):
        self.asked.append(("create_repo", repo, how))

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        if repo_id == "other/model":
            raise OSError("403 Forbidden: you don't own it\nat …")
        self.asked.append(("upload", repo_id, sorted(str(p.relative_to(folder_path)) for p in folder_path.rglob("*"))))
        return SimpleNamespace(commit_url=f"https://hub.test/{repo_id}/commit/1")


@pytest.fixture(autouse=True)
def hub(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "secret")


@pytest.mark.parametrize("name", ["model", "a/b/c", "shop/mo del", "shop/--x", "/x"])
def test_a_name_that_cannot_be_one(name):
    with pytest.raises(DataError, match="expected USER/NAME or ORGANISATION/NAME"):
        check(name)


def test_without_a_token_or_with_an_old_one(monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(DataError, match="found no token of the hub; set HF_TOKEN"):
        check("shop/model")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "old")
    with pytest.raises(MlimError, match=r"the hub doesn't take the token \(Invalid user token\.\)"):
        check("shop/model")


def test_the_whole_folder_goes_to_a_private_repository(tmp_path):
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text("{}")
    api = check("shop/model")
    assert push(api, tmp_path, "shop/model") == "pushed: https://hub.test/shop/model/commit/1"
    assert api.asked == [
        ("create_repo", "shop/model", {"private": True, "exist_ok": True}),
        ("upload", "shop/model", ["bert", "bert/config.json"]),
    ]


@pytest.mark.parametrize("secret", ["secret", "{home}/shop/feed.csv"])
def test_nothing_is_sent_that_names_this_machine_or_holds_the_token(tmp_path, monkeypatch, secret):
    monkeypatch.setenv("HOME", "/home/anna")
    (tmp_path / "about.json").write_text(json.dumps({"recipe": secret.format(home="/home/anna")}))
    api = check("shop/model")
    with pytest.raises(MlimError, match="nothing was sent"):
        push(api, tmp_path, "shop/model")
    assert not api.asked


def test_what_the_hub_refuses_is_told(tmp_path):
    with pytest.raises(MlimError, match=r"the hub refused \(403 Forbidden: you don't own it\); the folder is at"):
        push(check("other/model"), tmp_path, "other/model")


def test_the_command(tmp_path, monkeypatch):
    model, call = portable(tmp_path / "model"), CliRunner().invoke
    done = call(app, ["export", str(model), str(tmp_path / "out"), "--license", "mit", "--push", "shop/mugs"])
    assert done.exit_code == 0, done.output
    assert "transformers says the same" in done.stdout and done.stdout.endswith(
        "pushed: https://hub.test/shop/mugs/commit/1\n"
    )
    assert "# mugs" in (tmp_path / "out" / "README.md").read_text("utf-8")
    for wrong, said in (
        ([str(model), str(tmp_path / "out")], "is there already"),
        ([str(tmp_path / "none"), str(tmp_path / "new")], "no such folder"),
        ([str(model), str(tmp_path / "new"), "--push", "mugs"], "expected USER/NAME"),
        ([str(model), str(tmp_path / "new"), "--set", "a=1"], "this model is a folder"),
    ):
        failed = call(app, ["export", *wrong])
        assert failed.exit_code == 2 and said in failed.stderr, failed.output
    assert not (tmp_path / "new").exists()
