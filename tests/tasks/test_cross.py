"""Two listings in one sequence: the network's own behaviour at the start, the same both ways round, nothing of none."""

from dataclasses import replace

import pytest
import torch

from tests.tasks.test_match import batch_of, pair_batch
from tests.tiny import batch, network, scatter
from workbench.tasks.match.cross import CrossHead, CrossLoss, scores
from workbench.tasks.match.net import MatchHead
from workbench.tasks.tuned import Tuned, width_of


@pytest.fixture
def model() -> Tuned:
    net = network()
    width = width_of(net)
    model = Tuned(net, {"match": MatchHead(width), "cross": CrossHead(width)}).eval()
    scatter(model.heads["match"])
    scatter(model.heads["cross"].hidden)
    scatter(model.heads["cross"].out)
    return model


def test_the_sequence_is_that_of_the_pre_trained_network(model: Tuned) -> None:
    """A slow twin, from embeddings of each listing by itself: positions start again, and nothing is added at first."""
    made, net = batch([2, 7, 4]), model.network
    left_nD, right_nD = net.encode_pairs(made, torch.tensor([0]), torch.tensor([1]), model.heads["cross"].which_2D)
    (text_a, image_a), (text_b, image_b) = (net._embed(batch_of(made, [i])) for i in (0, 1))
    whole = torch.cat([text_a, text_b[:, 1:], image_a, image_b], 1)  # [CLS] a a [SEP] b b b b b b b [SEP], pictures
    out = net.encoder(net.embedding_norm(whole), torch.ones(whole.shape[:2], dtype=torch.bool))[0]
    assert len(out) == 4 + 8 + 2 * 16
    torch.testing.assert_close(left_nD[0], torch.cat([out[:4], out[12:28]]).mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(right_nD[0], torch.cat([out[4:12], out[28:]]).mean(0), rtol=1e-4, atol=1e-5)


def test_at_the_start_a_pair_has_the_log_odds_of_its_points() -> None:
    net = network()
    model = Tuned(net, {"match": MatchHead(width_of(net)), "cross": CrossHead(width_of(net))}).eval()
    pairs = pair_batch(batch([2, 7, 4]), [0, 1], [1, 2], [1.0, 0], [0, 0, 1])
    points_BD = model.heads["match"](model.pooled(pairs.batch))
    assert torch.equal(scores(model, pairs), model.heads["match"].scores(points_BD[:2], points_BD[1:]))
    losses = CrossLoss(model).sums(pairs)
    assert losses["cross"].item() == pytest.approx(losses["pairs"].item())


def test_what_tells_the_two_apart_begins_at_zero_and_counts_once_learnt(model: Tuned) -> None:
    pairs, head = pair_batch(batch([2, 7]), [0], [1], [1.0], [0, 0]), model.heads["cross"]
    before = scores(model, pairs)
    assert head.which_2D.count_nonzero() == 0
    with torch.no_grad():
        head.which_2D[1] += torch.randn(head.which_2D.shape[1])
    assert (scores(model, pairs) - before).abs() > 1e-3


def test_a_score_is_the_same_both_ways_round_and_in_any_batch(model: Tuned) -> None:
    with torch.no_grad():
        model.heads["cross"].which_2D.normal_()
    made = batch([1, 5, 3, 0])
    pairs = pair_batch(made, [0, 1, 2], [1, 3, 3], [1.0, 0, 0], [0, 0, 1, 2])
    turned = replace(pairs, left_n=pairs.right_n, right_n=pairs.left_n)
    torch.testing.assert_close(scores(model, pairs), scores(model, turned), rtol=1e-5, atol=1e-6)
    alone = pair_batch(batch_of(made, [2, 3]), [0], [1], [0.0], [1, 2])
    torch.testing.assert_close(scores(model, alone), scores(model, pairs)[2:], rtol=1e-4, atol=1e-5)


def test_listings_without_text_or_picture_are_finite_and_pixels_of_none_do_not_count(model: Tuned) -> None:
    has = torch.tensor([True, False, True, False])
    made = replace(batch([0, 7, 4, 0]), has_image_B=has, has_text_B=torch.tensor([False, True, True, False]))
    pairs = pair_batch(made, [0, 1, 0, 3], [1, 2, 3, 2], [1.0, 0, 0, 1], [0, 0, 1, 2])
    loss = CrossLoss(model)
    assert loss.counts(pairs) == {"pairs": 4, "points": 4, "in_batch": 4, "cross": 4}
    sum(loss.sums(pairs).values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert model.heads["cross"].which_2D.grad.abs().sum() > 0
    other = replace(made, pixels_BCHW=torch.where(has[:, None, None, None], made.pixels_BCHW, 255 - made.pixels_BCHW))
    assert torch.equal(scores(model, pairs), scores(model, replace(pairs, batch=other)))


def test_micro_batches_of_pairs_give_the_gradient_of_the_whole(model: Tuned) -> None:
    made = batch([2, 7, 4])
    whole = pair_batch(made, [0, 1], [1, 2], [1.0, 0], [0, 0, 1])
    parts = [pair_batch(batch_of(made, [i, i + 1]), [0], [1], [1.0 - i], [0, i]) for i in (0, 1)]
    gradients = []
    for batches in ([whole], parts):
        model.zero_grad()
        for pairs in batches:
            (CrossLoss(model).sums(pairs)["cross"] / 2).backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-3, atol=1e-5, msg=name)
