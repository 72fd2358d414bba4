import torch

from tests.tiny import network
from workbench.recipe.schema import Start
from workbench.tasks.network import shrink_and_perturb


def test_shrink_alone_halves_matrices_and_pulls_gains_to_one_and_offsets_to_zero():
    model = network(seed=0)
    with torch.no_grad():
        model.embedding_norm.weight.fill_(3.0)
        model.embedding_norm.bias.fill_(4.0)
    words = model.words.weight.detach().clone()
    shrink_and_perturb(model, Start(shrink=0.5))
    torch.testing.assert_close(model.words.weight, words * 0.5)
    assert (model.embedding_norm.weight == 2).all() and (model.embedding_norm.bias == 2).all()


def test_the_noise_has_the_spread_of_each_matrix():
    model = network(seed=0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    torch.manual_seed(1)
    shrink_and_perturb(model, Start(shrink=1.0, perturb=0.5))
    for name, weight in model.named_parameters():
        if weight.ndim >= 2 and weight.numel() > 2000:
            added = (weight.detach() - before[name]).std() / before[name].std()
            assert abs(float(added) - 0.5) < 0.05, name


def test_it_is_repeatable_and_nothing_by_default():
    models = [network(seed=0) for _ in range(3)]
    for model in models[:2]:
        torch.manual_seed(7)
        shrink_and_perturb(model, Start(shrink=0.7, perturb=1.0))
    shrink_and_perturb(models[2], Start())
    fresh = network(seed=0)
    for a, b, c, d in zip(*(m.parameters() for m in (*models, fresh)), strict=True):
        assert torch.equal(a, b) and torch.equal(c, d)
