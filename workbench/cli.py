"""The commands: flags in, exit codes out. Whatever is heavy is imported inside a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench import __version__, command, terminal
from workbench.completion import Shell
from workbench.errors import ArtifactError, DataError, RecipeError

if TYPE_CHECKING:
    from workbench.artifacts.store import Artifact
    from workbench.catalog.diff import State

EVERYTHING = ("census", "report")  # goals; the census first


class Form(StrEnum):
    """What others read."""

    webdataset = "webdataset"
    datasets = "datasets"


class Goal(StrEnum):
    """Commands that are tried by killing them."""

    pretrain = "pretrain"
    finetune = "finetune"
    run = "run"


class Device(StrEnum):
    """Where a model computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


app = terminal.App(
    name="mlim",
    help="From a product feed to a fine-tuned image-and-text model and a report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

benches = terminal.App(help="Measure the recipe's own work on its own catalog.", no_args_is_help=True)
app.add_typer(benches, name="bench")
caches = terminal.App(help="What lies in a cache: look, clear, verify.", no_args_is_help=True)
app.add_typer(caches, name="cache")

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="recipe file (.yaml)", show_default=False)]
RecipeOrFeed = Annotated[
    Path,
    typer.Argument(
        metavar="RECIPE|FEED", help="recipe file (.yaml), or a feed: a file or a folder", show_default=False
    ),
]
StateOf = Annotated[
    Path,
    typer.Argument(help="recipe, feed, or an ingest artifact of the cache (a folder)", show_default=False),
]
NewFolder = Annotated[
    Path, typer.Argument(metavar="OUT", help="folder to write, which is not there yet", show_default=False)
]
As = Annotated[Form, typer.Option("--as", help="tars, or a folder for `datasets.load_from_disk`")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="change one key of the recipe: --set pretrain.epochs=3"),
]
Resume = Annotated[bool, typer.Option("--resume/--no-resume", help="continue an unfinished run, or start it anew")]
Cache = Annotated[
    str, typer.Argument(metavar="PLACE", help="recipe (.yaml), or its cache: a folder, or s3://BUCKET/FOLDER")
]
Model = Annotated[
    Path, typer.Argument(metavar="MODEL", help="folder of a model (mlim export), or a recipe", show_default=False)
]
AnyFeed = Annotated[
    Path, typer.Argument(metavar="FEED", help="feed: a file or a folder; or a recipe with feeds", show_default=False)
]
NewFile = Annotated[Path, typer.Argument(metavar="OUT", help="file to write: .parquet or .csv", show_default=False)]
Roles = Annotated[
    list[str] | None, typer.Option("--column", metavar="ROLE=WORD", help="the feed's column of a role: title=name")
]
PicturesOf = Annotated[Path | None, typer.Option("--pictures", help="folder, .zip or .tar of the feed's pictures")]
MayFetch = Annotated[bool, typer.Option("--fetch", help="download pictures by web address; else they count as absent")]
FetchFrom = Annotated[
    list[str] | None,
    typer.Option(metavar="HOST", help="the same, also from a server of your own network: cdn.intern:8080"),
]
OfTask = Annotated[str | None, typer.Option("--task", help="the task that answers, where the model has several")]
AtOnce = Annotated[int, typer.Option("--batch", min=1, help="listings read at once")]
OnDevice = Annotated[Device, typer.Option("--device", help="auto: the first GPU if there is one")]
OfThreads = Annotated[int, typer.Option("--threads", min=0, help="for pictures and torch; 0: all cores")]
Nproc = Annotated[
    int, typer.Option("--nproc", metavar="N", min=1, help="processes of this machine that pre-train, one a GPU")
]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"mlim {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    pass


@app.command(example="mlim init products.csv")
def init(
    feed: Annotated[
        Path, typer.Argument(metavar="FEED", help="feed: a file, or a folder that holds one", show_default=False)
    ],
    out: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="recipe to write; default: named as the feed, here")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="ask nothing: take what is likely, and say so")] = False,
) -> None:
    """Look at a feed, ask at most five questions, and write a commented recipe that runs as it is."""
    from workbench.wizard.asking import Asking, keyboard
    from workbench.wizard.init import init as recipe_for
    from workbench.wizard.init import place_for

    place = place_for(feed, out)
    asks = sys.stdin.isatty() and not yes and not terminal.is_quiet()
    table = (lambda *_: None) if terminal.is_quiet() else terminal.table
    text = recipe_for(feed, place, Asking(terminal.note, keyboard if asks else None), table)
    with place.open("x", encoding="utf-8") as file:
        file.write(text)
    terminal.tell(recipe=place)
    terminal.note(f"next: mlim plan {place} shows what would run, mlim run {place} does it")


@app.command(example="mlim ingest products.csv")
def ingest(path: RecipeOrFeed, sets: Sets = None) -> None:
    """Read and clean the feeds; every dropped row is listed with its reason."""
    os.environ.setdefault("POLARS_MAX_THREADS", "1")  # chunks are cleaned side by side: more would wait for each other
    from workbench.plan import tell

    recipe = command.recipe(path, sets)
    made = command.run(recipe, ["ingest"])["ingest"]
    if made.seconds is None:  # else it was told when it was made
        tell(made.artifact, terminal.console())
    if not recipe.fetch and (waiting := _waiting(made.artifact)):
        terminal.note(f"note: {waiting}")
    terminal.told(counts=made.artifact.summary)
    terminal.tell(items=made.artifact.path("items.parquet"), drops=made.artifact.path("drops.csv"))
    terminal.note(f"next: mlim verify {path} looks at the pictures, finds duplicates, splits, and shows what to fix")


@app.command(example="mlim verify products.csv")
def verify(path: RecipeOrFeed, sets: Sets = None, resume: Resume = True) -> None:
    """Look at pictures, find duplicates, split, prove that nothing crosses the split; a page of it all."""
    from workbench.catalog.verify import prove

    made = command.run(command.recipe(path, sets), ["census"], resume)
    verdict = prove({name: m.artifact for name, m in made.items()})
    print(*verdict.lines, sep="\n")
    terminal.told(holds=verdict.holds, proof=verdict.lines)
    if not verdict.holds:
        raise ArtifactError("the split does not hold; see the lines above")


@app.command(example="mlim diff products.csv next_week.csv --out diff.csv")
def diff(
    before: StateOf,
    after: StateOf,
    out: Annotated[Path | None, typer.Option(help="write every difference to this CSV file")] = None,
    sets: Sets = None,
) -> None:
    """Which products came, went, changed, or moved to another part of the split."""
    from workbench.catalog.diff import WHATS, diff

    states = _state(before, sets), _state(after, sets)
    if not all(state.split for state in states):
        terminal.note("note: parts are not compared, since no split was made of both; `mlim verify` makes one")
    found = diff(*states)
    for what in WHATS:
        lines = found.filter(what=what)
        terminal.told(**{what: lines["id"].n_unique()})
        print(f"{what}\t{lines['id'].n_unique()} products")
        for line in lines.head(5).iter_rows(named=True):
            print(f"  {line['id']}\t{line['column']}: {line['before']} -> {line['after']}")
    if out:
        found.write_csv(out)
        terminal.tell(differences=out)


@app.command(example="mlim why shop.yaml SKU-1234")
def why(
    path: RecipeOrFeed,
    product: Annotated[
        str, typer.Argument(metavar="ID", help="id of a listing, or of a dropped row", show_default=False)
    ],
    sets: Sets = None,
) -> None:
    """One product's way through every step: source lines, cleaning, pictures, duplicates, split, tokens."""
    from workbench.report.why import why

    recipe = command.recipe(path, sets)
    made = command.run(recipe, ["census", "tokens"])
    way = [*why({name: m.artifact for name, m in made.items()}, recipe.catalog.feeds, product)]
    terminal.told(way=[{"step": step, "lines": lines} for step, lines in way])
    for step, lines in way:
        print(step, *(f"  {line}" for line in lines), sep="\n")


@app.command(example="mlim preview shop.yaml")
def preview(path: RecipePath, sets: Sets = None, resume: Resume = True) -> None:
    """Draw listings as the model will read them, here and as a page, before anything is trained (tokens first)."""
    recipe = command.load(path, sets)
    made = command.run(recipe, ["split", "tokens"], resume)
    from workbench.artifacts.outbox import send_changed
    from workbench.report.preview import preview
    from workbench.report.preview_page import render
    from workbench.report.preview_text import paint, told

    found = preview({name: m.artifact for name, m in made.items()}, recipe)
    file = recipe.runtime.reports / recipe.name / "preview.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(recipe.name, found), "utf-8")
    if sys.stdout.isatty():
        paint(found, terminal.console())
    else:
        print(*told(found), sep="\n")
    terminal.tell(preview=file)
    send_changed(file.parent)


@app.command(example="mlim pretrain shop.yaml --set pretrain.epochs=20")
def pretrain(path: RecipePath, sets: Sets = None, nproc: Nproc = 1, resume: Resume = True) -> None:
    """Pre-train the model on the catalog (ingest, images and tokens first)."""
    recipe = command.load(path, sets)
    command.run_among(nproc, recipe, ["pretrain"], path, sets, resume)


@app.command(example="mlim finetune shop.yaml --set finetune.classify.label=category")
def finetune(path: RecipePath, sets: Sets = None, nproc: Nproc = 1, resume: Resume = True) -> None:
    """Fine-tune for the tasks of the recipe's `finetune` section (pre-training first)."""
    recipe = command.load(path, sets)
    goals = [*recipe.finetune.tasks, *(["together"] if recipe.finetune.together else [])]
    if not goals:
        raise RecipeError(
            f"{path}: finetune names no task; add one, for example\n"
            "  finetune:\n    match: {pairs: pairs.csv}       # columns left, right, match\n"
            "    classify: {label: category}     # a name in columns.labels\n"
            "    retrieve: {by: group}\n"
            "    fill: {attributes: [brand]}     # names in columns.text or columns.labels"
        )
    command.run_among(nproc, recipe, goals, path, sets, resume)


@app.command(example="mlim probes shop.yaml")
def probes(
    path: RecipePath,
    checkpoint: Annotated[
        Path | None, typer.Option(help="probe the network of this folder: --set probes.checkpoint=FOLDER")
    ] = None,
    sets: Sets = None,
    resume: Resume = True,
) -> None:
    """Does the picture matter for hidden words, the text for a hidden picture, and where (pretrain first)?"""
    import json

    from workbench.report.gaps import QUESTIONS, UNITS, table

    other = [f"probes.checkpoint={json.dumps(str(checkpoint.absolute()))}"] if checkpoint else []
    artifact = command.run(command.load(path, [*(sets or ()), *other]), ["probes"], resume)["probes"].artifact
    found = json.loads(artifact.path("probes.json").read_text("utf-8"))
    if "reason" in found:
        print(f"nothing probed: {found['reason']}")
    for loss, unit in UNITS.items():
        if loss in found:
            print(QUESTIONS[loss])
            terminal.table((loss, "listings", "true", "gap", unit, ""), table(found, loss))
        elif reason := found.get("left_out", {}).get(loss):
            print(f"{loss} left out: {reason}")
    terminal.told(probes=found)
    terminal.tell(figures=artifact.path("probes.json"))


@app.command(example="mlim audit shop.yaml")
def audit(path: RecipePath, sets: Sets = None, resume: Resume = True) -> None:
    """Listings whose picture and text don't fit, the worst first: a CSV file and a page (pretrain first)."""
    import polars as pl

    from workbench.report.audit import WORDS, told

    recipe = command.load(path, sets)
    made = command.run(recipe, ["audit"], resume)["audit"].artifact
    lines = pl.scan_csv(made.path("audit.csv"), schema_overrides=dict.fromkeys(WORDS, pl.String))
    worst = lines.head(recipe.audit.shown).collect().to_dicts()
    terminal.table(("rank", "id", "title", "score", "strangers that fit better"), told(worst))
    terminal.told(worst=worst)
    terminal.tell(listings=recipe.runtime.reports / recipe.name / "audit.csv")


@app.command(example="mlim run shop.yaml --set model.size=small")
def run(path: RecipePath, sets: Sets = None, nproc: Nproc = 1, resume: Resume = True) -> None:
    """Run every stage of the recipe, through to the report."""
    recipe = command.load(path, sets)
    command.run_among(nproc, recipe, EVERYTHING, path, sets, resume)


@app.command(example="mlim report shop.yaml")
def report(path: RecipePath, sets: Sets = None, resume: Resume = True) -> None:
    """Write the report (everything it shows first)."""
    command.run(command.load(path, sets), EVERYTHING, resume)


@app.command(example="mlim plan shop.yaml --set images.side=128")
def plan(path: RecipeOrFeed, sets: Sets = None) -> None:
    """Show what `mlim run` would do: which stages are cached, and why a stage is not."""
    from workbench.forecast.forecast import shown
    from workbench.plan import disk_of, foresee, plan_recipe

    recipe = command.recipe(path, sets)
    steps = plan_recipe(recipe, EVERYTHING)
    rows, states = [(s.stage.name, s.key[:8], s.state, s.reason) for s in steps], [s.state for s in steps]
    terminal.table(titles := ("stage", "key", "state", "why"), rows)
    terminal.told(stages=[dict(zip(titles, row, strict=True)) for row in rows])
    if line := disk_of(recipe, steps):
        print(line)
    if "to run" in states:
        foreseen = foresee(recipe, steps)
        (header, *estimates), lines = shown(foreseen)
        terminal.table(header, estimates)
        terminal.told(seconds=foreseen.seconds, low=foreseen.range[0], high=foreseen.range[1])
        print(*lines, sep="\n")
    misses = [f"{states.count(way)} of {len(steps)} stages {way}" for way in ("to fetch", "to run") if way in states]
    print(", ".join(misses) or command.NOTHING)


@app.command(example="mlim ablate recipes/ablations/emoji.yaml")
def ablate(path: RecipePath, sets: Sets = None, resume: Resume = True) -> None:
    """Train the variants of the recipe's `ablate` section with several seeds: one table, intervals, cost."""
    from workbench.ablate.ablate import ablate as run_variants
    from workbench.ablate.show import rows
    from workbench.artifacts.outbox import send_changed

    command.load(path, sets)  # its errors first
    content, page = run_variants(path, sets or (), terminal.console(), resume)
    header, *lines = rows(content)
    join = "\n" if sys.stdout.isatty() else "  "
    terminal.table([" ".join(cell) for cell in header], [[join.join(cell) for cell in row] for row in lines])
    print(*content["verdict"], sep="\n")
    terminal.told(table=content)
    terminal.tell(ablation=page)
    send_changed(page.parent)


@app.command(example="mlim predict model products.csv answers.csv --top 3")
def predict(
    model: Model,
    feed: AnyFeed,
    out: NewFile,
    task: OfTask = None,
    top: Annotated[int, typer.Option(min=0, help="also the so many most probable classes")] = 0,
    pairs: Annotated[
        Path | None, typer.Option(help="of matches: a file with columns left and right, ids of the feed")
    ] = None,
    clusters: Annotated[bool, typer.Option("--clusters", help="of matches: the products that listings are of")] = False,
    columns: Roles = None,
    pictures: PicturesOf = None,
    fetch: MayFetch = False,
    fetch_from: FetchFrom = None,
    batch: AtOnce = 64,
    device: OnDevice = Device.auto,
    threads: OfThreads = 0,
    sets: Sets = None,
    resume: Resume = True,
) -> None:
    """What the model says of each listing of a feed: classes by name, missing attributes, matches."""
    from workbench import asking
    from workbench.answers.out import check
    from workbench.answers.predict import predicting

    check(out, (feed, pairs))
    asked = task or ("match" if pairs or clusters else None)
    with asking.opened_model(model, asked, sets or (), device, threads, asking.fetching(fetch, fetch_from)) as answers:
        how = predicting(answers, asked, top, pairs, clusters, batch)
        asking.answer(answers, asking.open_feeds(feed, answers, columns or (), pictures), out, how, resume)


@app.command(example="mlim embed model products.csv points.parquet --index")
def embed(
    model: Model,
    feed: AnyFeed,
    out: NewFile,
    index: Annotated[bool, typer.Option("--index", help="also OUT.index, for mlim search")] = False,
    columns: Roles = None,
    pictures: PicturesOf = None,
    fetch: MayFetch = False,
    fetch_from: FetchFrom = None,
    task: OfTask = None,
    batch: AtOnce = 64,
    device: OnDevice = Device.auto,
    threads: OfThreads = 0,
    sets: Sets = None,
    resume: Resume = True,
) -> None:
    """Each listing of a feed as a vector of length 1: near ones are alike."""
    from workbench import asking
    from workbench.answers.embed import embedding
    from workbench.answers.out import beside, check

    check(out, (feed,))
    with asking.opened_model(
        model, task, sets or (), device, threads, asking.fetching(fetch, fetch_from), asking.PLACES
    ) as answers:
        how = embedding(answers, beside(out, "index") if index else None, batch)
        asking.answer(answers, asking.open_feeds(feed, answers, columns or (), pictures), out, how, resume)
        if index:
            terminal.told(index=beside(out, "index"))
            terminal.note(f"next: mlim search {model} {beside(out, 'index')} --text …")


@app.command(example='mlim search model points.parquet.index --text "red mug"')
def search(
    model: Model,
    index: Annotated[Path, typer.Argument(metavar="INDEX", help="OUT.index of mlim embed", show_default=False)],
    text: Annotated[str | None, typer.Option(help="words that are looked for, as in a title")] = None,
    picture: Annotated[str | None, typer.Option(help="a picture's path, or its web address with --fetch")] = None,
    count: Annotated[int, typer.Option("-k", min=1, help="listings to show")] = 10,
    fetch: MayFetch = False,
    fetch_from: FetchFrom = None,
    task: OfTask = None,
    sets: Sets = None,
    device: OnDevice = Device.auto,
    threads: OfThreads = 0,
) -> None:
    """The listings of an index that are nearest to a text, a picture, or both."""
    from workbench import asking
    from workbench.answers.index import Index

    with asking.opened_model(
        model, task, sets or (), device, threads, asking.fetching(fetch, fetch_from), asking.PLACES
    ) as answers:
        found = Index.open(index, answers.key).search(asking.query(answers, text, picture), count)
    found = found.select("id", "title", "score")
    terminal.told(found=found.to_dicts())
    rows = [(i, title or "", f"{score:.4f}") for i, title, score in found.rows()]
    terminal.table(("id", "title", "score"), rows)


@app.command(example="mlim export shop.yaml model --onnx")
def export(
    model: Model,
    out: NewFolder,
    task: OfTask = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="also onnx/model.onnx, for ONNX Runtime")] = False,
    licence: Annotated[
        str | None, typer.Option("--licence", "--license", help="as the hub names it: apache-2.0, cc-by-4.0, …")
    ] = None,
    repo: Annotated[
        str | None, typer.Option("--push", metavar="REPO", help="then upload to USER/NAME of the Hugging Face hub")
    ] = None,
    sets: Sets = None,
) -> None:
    """A folder that plain transformers loads, with a model card; tried before it is there."""
    from workbench.asking import model_folder
    from workbench.export.export import export as written
    from workbench.export.push import check, push
    from workbench.images.export import check_new

    check_new(out)
    hub = check(repo) if repo else None
    folder = model_folder(model, task, sets or ())
    feeds = () if folder == model else command.load(model, sets).catalog.feeds
    for line in written(folder, out, name=repo, onnx=onnx, licence=licence, feeds=feeds):
        terminal.note(line)
    terminal.tell(model=out)
    if hub and repo:
        print(push(hub, out, repo))


@app.command(example="mlim serve model --index points.parquet.index --port 8000", tells=False)
def serve(
    model: Model,
    index: Annotated[Path | None, typer.Option(help="OUT.index of mlim embed, to be searched")] = None,
    host: Annotated[str, typer.Option(help="address to listen at; 0.0.0.0: all of this machine's")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free")] = 8000,
    allow_urls: Annotated[bool, typer.Option("--allow-urls", help="fetch pictures by public web address")] = False,
    max_megabytes: Annotated[float, typer.Option(min=0.001, max=1024, help="of one request")] = 16,
    max_megapixels: Annotated[float, typer.Option(min=0.001, help="of one picture")] = 40,
    max_listings: Annotated[int, typer.Option(min=1, max=1024, help="of one request")] = 64,
    max_seconds: Annotated[float, typer.Option(min=0.01, help="for one answer")] = 30,
    max_waiting: Annotated[int, typer.Option(min=1, help="listings in line; then clients are told 503")] = 512,
    workers: Annotated[
        int, typer.Option(min=0, help="processes that answer; 0: one a core, 4 at most; one with a GPU")
    ] = 0,
    task: OfTask = None,
    device: OnDevice = Device.auto,
    threads: OfThreads = 0,
    sets: Sets = None,
) -> None:
    """Answers over HTTP: predict, match, embed, search, and a page to search by words and pictures."""
    from workbench import asking
    from workbench.serve.limits import Limits
    from workbench.serve.run import Served, opened, usual_workers
    from workbench.serve.run import serve as run_server

    limits = Limits(
        body=int(max_megabytes * 1e6),
        pixels=int(max_megapixels * 1e6),
        listings=max_listings,
        waiting=max_waiting,
        seconds=max_seconds,
    )
    opening = partial(opened, asking.model_folder(model, task, sets or ()), device)
    served = Served(opening, index, limits, allow_urls)
    run_server(served, (host, port), workers or usual_workers(device), threads)


@app.command(example="mlim push shop.yaml s3://bucket/folder")
def push(
    path: RecipePath,
    url: Annotated[
        str, typer.Argument(metavar="URL", help="s3://BUCKET/FOLDER, gs://… or a folder", show_default=False)
    ],
    sets: Sets = None,
    resume: Resume = True,
) -> None:
    """Copy the recipe's data to object storage, for machines that train from there (it is made first)."""
    from workbench.artifacts.key import Digests
    from workbench.artifacts.remote import Remote
    from workbench.plan import DATA_GOALS
    from workbench.progress import Progress
    from workbench.sources import Sources

    recipe = command.load(path, sets)
    artifacts = {name: m.artifact for name, m in command.run(recipe, DATA_GOALS, resume).items()}
    with Progress(terminal.console(), "push", unit="files") as progress:
        sources = Sources(recipe, Digests(recipe.runtime.cache / "digests.json"))
        sent = sources.push(remote := Remote(url), artifacts, lambda name: progress.advance())
    rows = [(name, f"{s.files} files sent", f"{s.bytes:,} bytes", f"{s.there} there") for name, s in sent.items()]
    terminal.table(("artifact", "", "", ""), rows)
    terminal.told(sent={name: asdict(each) for name, each in sent.items()}, url=remote.shown)
    terminal.note(f"next: set runtime.remote to {remote.shown} where you train")


@app.command(example="mlim shards shop.yaml out --as webdataset")
def shards(path: RecipeOrFeed, out: NewFolder, form: As, sets: Sets = None, resume: Resume = True) -> None:
    """Write the stored pictures with their listings for other programs (duplicates and split first)."""
    from workbench.images.export import check_new, export

    check_new(out)
    recipe = command.recipe(path, sets)
    made = command.run(recipe, ["split"], resume)
    print(export({name: m.artifact for name, m in made.items()}, recipe.images, out, form))
    terminal.told(out=out)


@app.command(example="mlim samples shop.yaml out --as datasets --epochs 2")
def samples(
    path: RecipePath,
    out: NewFolder,
    form: As,
    epochs: Annotated[int, typer.Option(min=1, help="epochs of the train part, each with masks of its own")] = 1,
    sets: Sets = None,
    resume: Resume = True,
) -> None:
    """Write what pre-training reads, masked, for other trainers (tokens and split first)."""
    from workbench.images.export import check_new

    check_new(out)
    recipe = command.load(path, sets)
    artifacts = {name: m.artifact for name, m in command.run(recipe, ["split", "tokens"], resume).items()}
    from workbench.tasks.samples_write import export_samples

    print(export_samples(artifacts, recipe.model, recipe.pretrain, recipe.runtime, epochs, out, form))
    terminal.told(out=out)


@app.command(example="mlim chaos shop.yaml --kills 10 --goal pretrain")
def chaos(
    path: RecipePath,
    kills: Annotated[int, typer.Option(min=1, help="how often it is killed")] = 20,
    seed: Annotated[int, typer.Option(help="draws the moments and the signals")] = 0,
    goal: Annotated[Goal, typer.Option(help="the command that is killed; run: through to the report")] = Goal.pretrain,
    sets: Sets = None,
) -> None:
    """Self-test: run the recipe quietly, then again while killing it at random; all bytes must be the same."""
    from workbench.chaos.chaos import chaos as try_it

    rows, said = try_it(path, sets or (), goal, kills, seed, terminal.note)
    terminal.table(("stage", "seconds", "kills", "hit by", ""), [row.told() for row in rows])
    terminal.told(stages=[asdict(row) for row in rows])
    print(said)
    if differing := [row.name for row in rows if row.differs]:
        raise ArtifactError(f"not as without kills: {', '.join(differing)}; see the lines above")


@app.command(example="mlim doctor shop.yaml")
def doctor(
    path: Annotated[
        Path | None, typer.Argument(metavar="RECIPE", help="also what this recipe needs", show_default=False)
    ] = None,
    sets: Sets = None,
) -> None:
    """What is installed here, what works, what is missing, and how to mend it."""
    from time import monotonic

    from workbench.doctor import show
    from workbench.doctor.asked import Asked
    from workbench.doctor.examine import examine

    if sets and not path:
        raise RecipeError("--set changes a recipe, and none is given: mlim doctor RECIPE --set …")
    begun, console, findings = monotonic(), terminal.console(markup=False), []
    recipe = command.load(path, sets) if path else None
    for finding in examine(Asked.by(recipe) if recipe else Asked(), recipe):
        findings.append(finding)
        for line, style in show.lines(finding):
            console.print(line, style=style, soft_wrap=True)
    print(show.summary(findings))
    terminal.told(**show.fields(findings, monotonic() - begun))
    if any(finding.stops for finding in findings):
        raise typer.Exit(1)


@app.command(example="mlim replay .mlim/bad-steps/pretrain-0123456789abcdef/step-00000123")
def replay(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="of a step that pre-training left out, as it told", show_default=False),
    ],
) -> None:
    """Run a step that wasn't finite again: in which listing, module and weight it begins, and what to do."""
    import torch

    from workbench.tasks.replay import replay as run_again
    from workbench.tasks.replay_told import SHOWN, table, told, write

    found = run_again(folder, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    print(*told(found), sep="\n")
    header, lines = table(found)
    terminal.table(header, lines[:SHOWN])
    terminal.told(found=told(found))
    terminal.tell(listings=write(found))


@benches.command("loader", example="mlim bench loader shop.yaml")
def bench_loader(path: RecipePath, sets: Sets = None) -> None:
    """What bounds the loader of training batches, and whether training waits for it; what to change."""
    recipe = command.load(path, sets)
    made = command.run(recipe, ["split", "tokens"])
    import json

    from workbench.artifacts.outbox import send_changed
    from workbench.artifacts.stage import Work
    from workbench.bench.advice import report
    from workbench.bench.loader import bench

    file = recipe.runtime.reports / recipe.name / "bench-loader.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    work = Work(file.parent, {name: m.artifact for name, m in made.items()}, recipe.runtime, terminal.console(), file)
    figures = bench(work, recipe.model, recipe.pretrain)
    print(*report(figures), sep="\n")
    file.write_text(json.dumps(asdict(figures), indent=1))
    terminal.told(loader=asdict(figures))
    terminal.tell(figures=file)
    send_changed(file.parent)


@app.command(example="mlim completion bash --install")
def completion(
    shell: Annotated[Shell, typer.Argument(help="the shell that you type in", show_default=False)],
    install: Annotated[bool, typer.Option("--install", help="write it where the shell looks for it")] = False,
    line: Annotated[str | None, typer.Option(hidden=True, help="say what is offered behind this line")] = None,
) -> None:
    """A script that completes commands, options, recipes, tasks and the keys of --set, for your shell."""
    from workbench.completion import SCRIPTS, offers
    from workbench.completion import install as written

    if line is not None:
        print(*("\t".join(offer) for offer in offers(typer.main.get_command(app), line)), sep="\n")
    elif install:
        file, more = written(shell)
        terminal.tell(script=file)
        terminal.note(f"next: {more}")
    else:
        terminal.told(script=SCRIPTS[shell])
        print(SCRIPTS[shell], end="")


@caches.command("ls", example="mlim cache ls shop.yaml")
def cache_ls(place: Cache = ".mlim") -> None:
    """What lies in a cache: sizes, ages, what it was made of, and which recipes use it."""
    from workbench.cache import show
    from workbench.cache.asked import cache_of
    from workbench.cache.contents import contents

    there = cache_of(place)
    things = contents(there)
    terminal.table(show.HEADER, show.rows(things))
    terminal.told(cache=there.shown, things=show.fields(things))
    print(show.total(things))


@caches.command("gc", example="mlim cache gc shop.yaml --keep shop.yaml --yes")
def cache_gc(
    place: Cache = ".mlim",
    keep: Annotated[
        list[Path] | None, typer.Option(metavar="RECIPE", help="what it needs stays; alone: all else goes")
    ] = None,
    older: Annotated[
        str | None, typer.Option(metavar="AGE", help="what no run used for so long goes: 30d, 12h")
    ] = None,
    most: Annotated[
        str | None, typer.Option(metavar="SIZE", help="what was used longest ago goes until so much is left: 20GB")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="remove it; without this it is only shown")] = False,
) -> None:
    """Clear a cache of what is old, too much, or needed by no recipe; never of what runs, or what that needs."""
    from workbench.cache import asked, show
    from workbench.cache.clear import Rule, clear, find

    there = asked.cache_of(place)
    rule = Rule(
        asked.seconds(older) if older else None,
        asked.size(most) if most else None,
        asked.needed(keep, there) if keep else None,
    )
    going = clear(there, rule) if yes else find(there, rule)
    terminal.table(show.GOING, show.going(going))
    things = [each.thing for each in going]
    terminal.told(
        cache=there.shown, removed=yes, things=show.fields(things), bytes=sum(thing.bytes for thing in things)
    )
    print(f"{'removed' if yes else 'would go'}: {show.total(things)}")
    if things and not yes:
        terminal.note("nothing was removed: --yes does it")


@caches.command("verify", example="mlim cache verify shop.yaml")
def cache_verify(place: Cache = ".mlim") -> None:
    """Read every file of a cache and compare its checksum with the one noted when it was made."""
    from workbench.cache.asked import cache_of
    from workbench.cache.contents import contents
    from workbench.cache.verify import noted, verify
    from workbench.progress import Progress

    there = cache_of(place)
    files, damaged = noted(there, contents(there))
    with Progress(terminal.console(), "verify", len(files), "files") as progress:
        damaged += verify(there, files, lambda well: progress.advance(1, damaged=not well))
    for each in damaged:
        print(f"{each.thing}/{each.file}: {each.what}")
    terminal.told(cache=there.shown, files=len(files), damaged=[asdict(each) for each in damaged])
    print(f"{len(files):,} files, {len(damaged):,} of them damaged")
    if damaged:
        names = ", ".join(sorted({f"{there.shown}/{each.thing}" for each in damaged}))
        raise ArtifactError(f"damaged: {names}; delete them, and run again: what is needed is made anew")


def _waiting(ingest: Artifact) -> str:
    """What would be downloaded if the recipe said so, for the user; "" if nothing would."""
    import polars as pl

    from workbench.images.fetched import WEB, say_waiting

    main = pl.scan_parquet(ingest.path("pictures.parquet")).filter(
        pl.col("order") == 0, pl.col("name").str.contains(WEB)
    )
    return say_waiting(main.select("name").collect()["name"])


def _state(path: Path, sets: Sequence[str] | None) -> State:
    """A state of a catalog: an artifact by its folder, or what the recipe or feed now gives."""
    from workbench.artifacts.store import MANIFEST, Artifact, Store
    from workbench.catalog.diff import State

    if not (path / MANIFEST).exists():
        recipe = command.recipe(path, sets)
        return State.of(command.run(recipe, ["split"])["ingest"].artifact, Store(recipe.runtime.cache))
    artifact = Artifact.open(path)
    if artifact.stage != "ingest":
        raise DataError(f"{path}: an artifact of {artifact.stage}; expected one of ingest, a folder ingest-…")
    return State.of(artifact, Store(path.parent))
