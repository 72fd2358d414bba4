import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoTokenizer, BertModel

from tests.export.conftest import ABOUT, ANSWERS, photo, shelf
from workbench.answers.answers import Answers
from workbench.answers.listing import Listing
from workbench.answers.preparation import Preparation
from workbench.errors import DataError, MlimError
from workbench.export import check
from workbench.export.check import code_of
from workbench.export.code.processing_mlim import MlimProcessor
from workbench.export.export import export
from workbench.export.probe import COUNT, first_of
from workbench.recipe.schema import Feed


def asked(processor, listings):
    return processor([dict(each.texts) for each in listings], [each.picture for each in listings])


@pytest.mark.parametrize("embedder", ["cnn", "patches", "resnet"])
def test_the_same_numbers_for_every_embedder(make, tmp_path, embedder):
    model = make(embedder=embedder)
    list(export(model, tmp_path / "out"))
    answers = Answers.open(model, "cpu", 1)
    batch = answers.preparation.prepare(shelf()).batch
    with code_of(tmp_path / "out") as code, torch.inference_mode():
        said = code.modeling_mlim.MlimModel.from_pretrained(tmp_path / "out")(
            batch.tokens_BL, batch.text_real_BL, batch.pixels_BCHW, batch.has_image_B
        )
        pooled = answers.tuned.pooled(batch)
        heads = {task: answers.tuned.said(task, batch, pooled) for task in answers.tuned.heads}
    np.testing.assert_allclose(said.embeddings, answers.points(batch), atol=2e-6)
    assert set(said.scores) == set(ANSWERS)
    for task, score in said.scores.items():
        np.testing.assert_allclose(score, heads[task], atol=1e-5)


def test_from_raw_texts_and_pictures_the_same_ids_and_nearly_the_same_pixels(out, answers, code):
    batch, processor = answers.preparation.prepare(shelf()).batch, MlimProcessor.from_pretrained(out)
    read = asked(processor, shelf())
    assert torch.equal(read["input_ids"], batch.tokens_BL)
    assert torch.equal(read["attention_mask"].bool(), batch.text_real_BL)
    assert torch.equal(read["has_image"], batch.has_image_B)
    off = (read["pixel_values"].int() - batch.pixels_BCHW.int()).abs()
    assert off.max() <= 3 and off.float().mean() < 0.2
    with torch.inference_mode():
        said = code.MlimModel.from_pretrained(out)(**read).embeddings
    assert (said * torch.from_numpy(answers.points(batch))).sum(1).min() > 0.9999


@pytest.mark.parametrize(("stored", "side"), [("png", 24), ("png", 32), ("raw", 200), ("jpeg", 36)])
def test_pixels_however_they_are_stored(make, stored, side):
    folder = make(stored=stored, side=side)
    (folder / "processor_config.json").write_text('{"missing": {"title": [], "text": []}}')
    pictures = [photo(0, 250, 180), photo(1, 30, 30), photo(2, 300, 20), photo(3, 80, 80, "RGBA")]
    pictures[0].getexif()[0x0112] = 6
    exact = Preparation.open(folder, 1).prepare([Listing("", {}, picture) for picture in pictures]).batch
    read = MlimProcessor.from_pretrained(folder)(images=pictures)
    off = (read["pixel_values"].int() - exact.pixels_BCHW.int()).abs()
    assert off.max() <= 3 and off.float().mean() < 0.5


def test_a_picture_of_a_file_is_left_as_it_was_given(out, tmp_path):
    photo(0, 640, 480).save(tmp_path / "large.jpg")
    with Image.open(tmp_path / "large.jpg") as image:
        MlimProcessor.from_pretrained(out)(images=image)
        assert image.size == (640, 480)


def test_one_listing_or_several_with_what_they_have(out):
    processor = MlimProcessor.from_pretrained(out)
    one = processor("red mug")
    assert one["input_ids"].shape[0] == 1 and not one["has_image"].any()
    assert torch.equal(one["input_ids"], processor({"title": "red mug"})["input_ids"])
    assert processor(images=[photo(0, 9, 9), None])["has_image"].tolist() == [True, False]
    assert isinstance(processor(["a", None], return_tensors="np")["pixel_values"], np.ndarray)
    with pytest.raises(ValueError, match="2 texts and 1 pictures"):
        processor(["a", "b"], [photo(0, 9, 9)])
    with pytest.raises(ValueError, match="no field 'size'; the model reads title, colour"):
        processor({"size": "L"})


def test_the_encoder_of_texts_is_an_ordinary_bert(out, answers):
    bert, tokenizer = AutoModel.from_pretrained(out / "bert"), AutoTokenizer.from_pretrained(out / "bert")
    assert type(bert) is BertModel
    batch = answers.preparation.prepare([Listing("", {"title": "big red mug", "colour": "blue"})]).batch
    read = tokenizer("[title] big red mug [colour] blue", return_tensors="pt")
    assert torch.equal(read["input_ids"], batch.tokens_BL)
    with torch.inference_mode():
        ours, _ = answers.tuned.network.encode(batch)
        np.testing.assert_allclose(bert(**read).last_hidden_state, ours, atol=2e-6)


def test_classes_by_name_with_the_probabilities_of_predict(out, answers, code):
    model, batch = code.MlimForSequenceClassification.from_pretrained(out), answers.preparation.prepare(shelf()).batch
    with torch.inference_mode():
        said = model(
            batch.tokens_BL, batch.text_real_BL, batch.pixels_BCHW, batch.has_image_B, labels=torch.zeros(8).long()
        )
    probabilities, table = said.logits.softmax(1), answers.table("classify", batch)
    assert [model.config.id2label[i] for i in probabilities.argmax(1).tolist()] == table["kind"].to_list()
    np.testing.assert_allclose(probabilities.max(1).values, table["kind.probability"], atol=1e-6)
    assert said.loss > 0


def test_the_probability_of_a_match_is_that_of_mlim(out, answers, code):
    batch = answers.preparation.prepare(shelf()).batch
    with torch.inference_mode():
        model = code.MlimModel.from_pretrained(out)
        points = model(batch.tokens_BL, batch.text_real_BL, batch.pixels_BCHW, batch.has_image_B).scores["match"]
        said = model.match(points[:4], points[4:])
    ours = answers.outputs("match", batch)
    np.testing.assert_allclose(said, answers.match(ours[:4], ours[4:]), atol=1e-5)


def test_saved_by_transformers_it_is_read_again(out, tmp_path, code):
    model, processor = code.MlimModel.from_pretrained(out), MlimProcessor.from_pretrained(out)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    read = asked(MlimProcessor.from_pretrained(tmp_path), shelf())
    with torch.inference_mode():
        again = code.MlimModel.from_pretrained(tmp_path)(**read)
        assert torch.equal(again.embeddings, model(**read).embeddings)
        assert torch.equal(again.scores["classify"], model(**read).scores["classify"])


def test_mlim_reads_it_as_the_model_that_it_was(make, tmp_path):
    model = make()
    list(export(model, tmp_path / "out"))
    one, other = (Answers.open(folder, "cpu", 1) for folder in (model, tmp_path / "out"))
    assert one.key == other.key and one.tasks == other.tasks and other.cross
    list(export(tmp_path / "out", tmp_path / "again"))
    files = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*") if path.is_file())
    for name in files:
        if name != Path("README.md"):
            assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_a_bare_encoder_gives_points_alone(make, tmp_path):
    model = make(tasks=())
    (model / "answers.json").unlink()
    (model / "about.json").write_text(json.dumps(ABOUT | {"task": "pretrain"}))
    list(export(model, tmp_path / "out"))
    answers = Answers.open(model, "cpu", 1)
    batch = answers.preparation.prepare(shelf()).batch
    with code_of(tmp_path / "out") as code, torch.inference_mode():
        said = code.modeling_mlim.MlimModel.from_pretrained(tmp_path / "out")(batch.tokens_BL, batch.text_real_BL)
    assert not said.scores
    np.testing.assert_allclose(said.embeddings[2], answers.points(batch)[2], atol=1e-5)


def test_nothing_is_left_where_it_says_something_else(make, tmp_path, monkeypatch):
    monkeypatch.setattr(check, "CLOSE", -1)
    with pytest.raises(MlimError, match=r"embeddings differs by .* on listings of every kind"):
        list(export(make(), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_old_folder_is_not_written_over(make, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(DataError, match="is there already"):
        list(export(make(), tmp_path / "out"))


def test_several_classes_at_once_are_told_to_transformers(make, tmp_path):
    model = make(tasks=("classify",))
    told = json.loads((model / "answers.json").read_text())
    told["classify"] |= {"several": "|", "thresholds": [0.5, 0.5, 0.5]}
    (model / "answers.json").write_text(json.dumps(told))
    list(export(model, tmp_path / "out"))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "hat", "1": "lamp", "2": "mug"}


def test_it_is_tried_with_the_first_listings_of_the_feeds(make, tmp_path):
    (tmp_path / "pictures").mkdir()
    photo(0, 30, 20).save(tmp_path / "pictures" / "1.png")
    (tmp_path / "feed.csv").write_text("id,title,image\n" + "".join(f"{i},red mug {i},1.png\n" for i in range(20)))
    feed = Feed(path=tmp_path / "feed.csv", pictures=tmp_path / "pictures")
    model = make()
    (said,) = export(model, tmp_path / "out", feeds=[feed])
    (made,) = export(model, tmp_path / "other")
    counts = [int(line.split(" on ")[1].split()[0]) for line in (said, made)]
    assert counts[0] - counts[1] == COUNT
    listings = first_of([feed], Preparation.open(model, 1))
    assert [each.id for each in listings] == [str(i) for i in range(COUNT)]
    assert Preparation.open(model, 1).prepare(listings).pictures == ["present"] * COUNT
