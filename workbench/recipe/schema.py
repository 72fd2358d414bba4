"""Every knob of mlim: frozen, strict types, each field with its unit and meaning.

`docs/recipe.md` is generated from this file. Defaults are for a catalog of some thousand listings on one GPU; the
paper's values are in `recipes/paper.yaml`. Fields of type `Path` are resolved against the folder of the file that
names them (or the working directory, for `--set`) when a recipe is loaded; each may also be an address in object
storage, s3://… or gs://…, of which a copy is read (docs/storage.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    WithJsonSchema,
    model_validator,
)

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Strength = Annotated[float, Field(ge=0, le=1)]
AUTO = 0  # in an OrAuto: found when the training begins


def _of_auto(value: Any) -> Any:
    if value == "auto":
        return AUTO
    if isinstance(value, str) or (isinstance(value, int) and value < 1):
        raise ValueError("expected a number from 1 on, or auto")
    return value


OrAuto = Annotated[
    int,
    BeforeValidator(_of_auto),
    PlainSerializer(lambda number: number or "auto"),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
ON_HUB: dict[str, Any] = {"on_hub": True}  # marks a Path that may be a name on the Hugging Face hub: it stays relative
IS_WRITTEN: dict[str, Any] = {"is_written": True}  # marks a Path of a folder that runs write into


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Columns(Section):
    """Which header word of a feed plays which role. Several feeds may use other words for the same attribute."""

    id: str = Field(description="column of the listing's id; kept as text, leading zeros included")
    title: str = Field(description="column of the title")
    text: dict[str, str] = Field({}, description="text attributes the model reads: attribute name -> column")
    labels: dict[str, str] = Field({}, description="labels for tasks, never read by the model: label name -> column")
    group: str | None = Field(
        None, description="column of the product group: listings of one group never cross the split; default: the id"
    )
    picture: str | None = Field(None, description="column that names the picture (or pictures, the main one first)")
    pictures: tuple[str, ...] = Field((), description="further columns that name pictures, in their order")
    code: str | None = Field(
        None, description="column of the GTIN (EAN, UPC, ISBN): listings of one code never cross the split"
    )
    price: str | None = Field(None, description="column of the price, with or without a currency")
    language: str | None = Field(None, description="column of the language or locale")
    split: str | None = Field(None, description="column of a split made elsewhere: train, valid or test")


class Feed(Section):
    """One feed: a file or folder of any known format, a data set of the `datasets` library, or an SQL query."""

    path: Path | None = Field(None, description="the feed file, or the folder of a data set")
    dataset: str | None = Field(None, description="name of a `datasets` data set on the hub: NAME, or NAME:SPLIT")
    database: str | None = Field(None, description="postgresql://… or duckdb://FILE, asked with `query`")
    query: str | None = Field(None, description="SQL whose rows are the feed")
    as_of: str = Field("", description="any word; another word reads `database` or `dataset` again")
    feed: str | None = Field(None, description="the feed's format by name, where the guess is wrong (docs/feeds.md)")
    pictures: Path | None = Field(
        None, description="folder, .zip or .tar that holds its pictures, read in place; default: the feed's folder"
    )
    columns: Columns | None = Field(None, description="roles of the columns; guessed from the header when absent")

    @model_validator(mode="after")
    def _one_source(self) -> Feed:
        if sum(x is not None for x in (self.path, self.dataset, self.database)) != 1:
            raise ValueError("give one of path, dataset and database")
        if (self.database is None) != (self.query is None):
            raise ValueError("database and query go together")
        return self


class Split(Section):
    """Shares of the parts. What is kin (a product group, a GTIN, duplicates) goes to one part as a whole, by a hash of
    its name and the seed; a component of more than 50 listings and 1% of the catalog is put where most is lacking."""

    train: Share = Field(0.65, description="share of groups to learn from")
    valid: Share = Field(0.10, description="share of groups to watch and choose by")
    test: Share = Field(0.25, description="share of groups that only the report's figures come from")
    seed: Seed = Field(0, description="another seed, another split")
    stratify: str | None = Field(None, description="name of a label: the shares hold within each of its classes")
    given: Literal["honour", "ignore"] = Field(
        "honour", description="a split of the feed's own (`columns.split`): its listings keep their parts, or not"
    )
    conflict: Literal["drop", "fail", "report"] = Field(
        "drop",
        description="where kin lie in two given parts. drop: test keeps its listings, then valid, and those of the "
        "other parts are left out; fail: an error; report: all stay, and the certificate counts the leaks",
    )

    @model_validator(mode="after")
    def _sums_to_one(self) -> Split:
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train + valid + test is {total:g}; the three shares must sum to 1")
        return self


class Clean(Section):
    """The rules by which texts are cleaned; the data page of the report shows what each changed."""

    mojibake: bool = Field(True, description="`CafÃ©` -> `Café`: UTF-8 read as another encoding, where that is certain")
    control: bool = Field(True, description="control characters, NUL among them, removed")
    html: bool = Field(True, description="HTML to text; list items and table cells stay apart")
    entities: bool = Field(True, description="`&eacute;` -> `é`, also where encoded twice or more")
    invisible: bool = Field(True, description="zero-width spaces, byte order marks, soft hyphens removed")
    nfc: bool = Field(True, description="composed to Unicode NFC")
    white_space: bool = Field(True, description="runs of white space become one space, none stays at the ends")
    boilerplate: bool = Field(
        True, description="sentences that begin or end a large share of the catalog's long texts removed"
    )
    placeholders: bool = Field(True, description="cells that say that there is nothing (`N/A`, `-`, `TBD`) are missing")
    also_missing: tuple[str, ...] = Field((), description="further such cells, of all columns but the id; in any case")
    never_missing: tuple[str, ...] = Field((), description="cells that are values here, such as `none`; in any case")
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = Field(
        (), description="ISO codes; listings in other languages are dropped. Default: all are kept, none is guessed"
    )


class Catalog(Section):
    """The feeds, how they are cleaned and how listings are split."""

    feeds: tuple[Feed, ...] = Field(min_length=1, description="the feed files, read in this order")
    language: str | None = Field(None, description="ISO code: which of a feed's languages to read, if it has several")
    clean: Clean = Field(Clean(), description="the rules of cleaning")
    same_id: Literal["keep first", "fail"] = Field("keep first", description="what to do if two products have one id")
    split: Split = Field(Split(), description="shares of train, valid and test")


class Pace(Section):
    """How hard servers are asked, and for how long. Nothing here enters a cache key."""

    concurrency: Count = Field(32, description="pictures on their way at once, over all hosts")
    per_host: Count = Field(4, description="pictures on their way at once from one host")
    per_second: Annotated[float, Field(gt=0)] = Field(20.0, description="requests a second to one host, at most")
    idle: Annotated[float, Field(gt=0)] = Field(
        10.0, description="seconds without a connection or without a byte, after which a request is given up"
    )
    total: Annotated[float, Field(gt=0)] = Field(60.0, description="seconds that one request may take")
    retries: Annotated[int, Field(ge=0, le=10)] = Field(
        3, description="further tries after 408, 429, 500, 502, 503, 504, a time limit or a lost connection"
    )
    back_off: Annotated[float, Field(ge=0)] = Field(0.5, description="seconds before the first retry; then doubled")
    longest: Annotated[float, Field(ge=0)] = Field(
        60.0, description="seconds: the longest wait before a retry, whatever a server's Retry-After asks"
    )


class Fetch(Section):
    """Pictures by web address are downloaded; without this section none is (docs/fetch.md)."""

    contact: Annotated[str, Field(pattern=r"^[\x20-\x7e]*$")] = Field(
        "", description="an e-mail or web address of yours, told to servers in the User-Agent"
    )
    allow_hosts: tuple[str, ...] = Field(
        (), description="hosts of your own, HOST or HOST:PORT: the only ones that may be inside your network"
    )
    max_bytes: Count = Field(32 * 2**20, description="bytes of one picture, at most")
    most_bytes: Count = Field(10**10, description="bytes of all downloads, at most; also compared with an estimate")
    snapshot: str = Field("", description="any word; another word asks servers whether their pictures changed")
    retry: str = Field("", description="any word; another word asks again for pictures that were not to be had")
    pace: Pace = Field(Pace(), description="how hard servers are asked")

    @model_validator(mode="after")
    def _hosts(self) -> Fetch:
        for host in self.allow_hosts:
            if not re.fullmatch(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(:[0-9]+)?", host, re.ASCII):
                raise ValueError(f"allow_hosts: expected HOST or HOST:PORT such as cdn.intern:8080, found {host!r}")
        return self


Kinship = Literal["keep one", "join", "ignore"]


class Duplicates(Section):
    """What to do with listings that are alike but not of one product group (those are its variants: all are kept).

    keep one: the most complete stays, the others are left out of the split; join: they go to one part together.
    """

    same_listing: Kinship = Field("keep one", description="the same text and the same picture (or neither has one)")
    near_listing: Kinship = Field("keep one", description="alike in text and picture (or in text, if neither has one)")
    same_text: Kinship = Field("join", description="the same text alone")
    near_text: Kinship = Field("join", description="texts that differ in word order or a few words, not in a number")
    same_picture: Kinship = Field("join", description="a picture of the same bytes alone")
    near_picture: Kinship = Field(
        "join", description="a picture in another size, compression or brightness, or with its edges cut off, alone"
    )
    placeholders: bool = Field(
        True, description="one picture on many unrelated products counts as none, and makes no kin"
    )


class Images(Section):
    """How pictures are decoded once and stored."""

    side: Annotated[int, Field(ge=8, le=2048)] = Field(
        256, description="pixels: pictures are fitted into a square of this side, padded with `background`"
    )
    background: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] = Field(
        "#ffffff", description="colour under transparent pixels and around pictures that are not square"
    )
    encoding: Literal["auto", "jpeg", "png", "raw"] = Field(
        "auto",
        description="auto: lossless PNG up to a side of 96 px, else JPEG; raw: pixels as they are, 3 bytes each, the "
        "fastest to read and 4 to 15 times the disk",
    )
    quality: Annotated[int, Field(ge=50, le=100)] = Field(95, description="JPEG quality, without chroma subsampling")
    use: Literal["main", "all"] = Field(
        "main", description="main: a listing's first picture that can be used; all: every one, of which training draws"
    )
    max_pixels: Count = Field(100_000_000, description="pixels: a picture of more is too large")
    too_large: Literal["refuse", "reduce"] = Field(
        "refuse", description="refuse it from its header, or reduce it while it is read (PNG, and JPEG where possible)"
    )
    shard_pictures: Count = Field(4096, description="listings whose pictures share a shard file")


class Tokens(Section):
    """The tokenizer and the length of texts."""

    tokenizer: Path | None = Field(
        None,
        description="a Hugging Face tokenizer: a local folder, or a name on the hub; absent: that of `model.bert`, "
        "else byte-level BPE trained on the catalog",
        json_schema_extra=ON_HUB,
    )
    vocabulary: Count = Field(8000, description="size of the trained vocabulary, special tokens included")
    lowercase: bool = Field(True, description="lower-case texts before training and encoding")
    max_length: Annotated[int, Field(ge=4, le=512)] = Field(
        64, description="text positions of a listing, [CLS], [SEP] and field markers included; longer is cut"
    )


class Hiding(Section):
    """How the tokens that are hidden are chosen, and what is read in their place (docs/masking.md)."""

    text_units: Literal["token", "word", "span", "field"] = Field(
        "token", description="what of a text is hidden together: tokens, whole words, spans of words, whole fields"
    )
    span: Annotated[float, Field(ge=1)] = Field(3.0, description="words of a span on average, for `text_units: span`")
    fields: tuple[str, ...] = Field(
        (), description="hide words of these fields alone: title, or names in `columns.text`; default: of all"
    )
    image_units: Literal["patch", "block"] = Field(
        "patch", description="what of a picture is hidden together: patches, or rectangles of them (BEiT)"
    )
    shown: Literal["mask", "80/10/10"] = Field(
        "mask",
        description="what is read in place of a hidden word: [MASK]; or, as BERT does, [MASK] 8 times in 10, any word "
        "once and the word itself once",
    )


class Mam(Hiding):
    """Modality-aware masking: each sample is in one of three modes (paper, section on MAM)."""

    policy: Literal["mam"] = Field("mam", description="modality-aware masking")
    modes: tuple[Share, Share, Share] = Field(
        (1 / 3, 1 / 3, 1 / 3), description="probability of heavy image, heavy text, light"
    )
    heavy_image: Share = Field(0.8, description="share of image tokens masked in mode heavy image (text kept)")
    heavy_text: Share = Field(0.8, description="share of text tokens masked in mode heavy text (image kept)")
    light_image: Share = Field(0.15, description="share of image tokens masked in mode light")
    light_text: Share = Field(0.15, description="share of text tokens masked in mode light")

    @model_validator(mode="after")
    def _modes_sum_to_one(self) -> Mam:
        if abs(sum(self.modes) - 1) > 1e-6:
            raise ValueError(f"the three mode probabilities sum to {sum(self.modes):g}; they must sum to 1")
        return self


class Uniform(Hiding):
    """The same shares for every sample."""

    policy: Literal["uniform"] = Field(description="the same shares for every sample")
    text: Share = Field(0.15, description="share of text tokens masked")
    image: Share = Field(0.15, description="share of image tokens masked")


class NoMasking(Section):
    """Nothing is masked: the model only redraws the picture."""

    policy: Literal["none"] = Field(description="no masking")


def _policy(value: Any) -> str:
    return str(value.get("policy", "mam") if isinstance(value, dict) else getattr(value, "policy", value))


Masking = Annotated[
    Annotated[Mam, Tag("mam")] | Annotated[Uniform, Tag("uniform")] | Annotated[NoMasking, Tag("none")],
    Discriminator(_policy),
]


class Augment(Section):
    """Random changes of a training picture, drawn from (seed, epoch, row)."""

    crop_area: tuple[Share, Share] = Field((0.6, 1.0), description="least and greatest share of the area kept")
    crop_ratio: Annotated[float, Field(ge=1)] = Field(4 / 3, description="greatest width:height (and height:width)")
    flip: Share = Field(0.5, description="probability of a horizontal flip")
    brightness: Strength = Field(0.1, description="factor drawn from 1 - x to 1 + x")
    contrast: Strength = Field(0.1, description="factor drawn from 1 - x to 1 + x")
    saturation: Strength = Field(0.1, description="factor drawn from 1 - x to 1 + x")


def check_side(key: str, side: int, patch_key: str, patch: int) -> None:
    """Raises ValueError where a side can't be cut into patches."""
    if side % patch:
        low = side // patch * patch
        near = " or ".join(str(s) for s in (low, low + patch) if s)
        raise ValueError(f"{key} {side} is no multiple of {patch_key} {patch}; nearest: {near}")


SIZES = {"tiny": (128, 4, 2), "small": (256, 4, 4), "base": (768, 12, 12), "large": (1024, 24, 16)}


class Model(Section):
    """Sizes of the MLIM model."""

    size: Literal["tiny", "small", "base", "large"] | None = Field(
        "small",
        description="width, layers and heads by name; with `bert` they are those of the weights: leave it out, or null",
    )
    image_side: Annotated[int, Field(ge=8)] = Field(96, description="pixels: side of the picture the model reads")
    patch: Literal[2, 4, 8, 16, 32, 64] = Field(16, description="pixels: side of the square behind one image token")
    embedder: Literal["cnn", "patches", "resnet"] = Field(
        "cnn",
        description="pictures into image tokens: the paper's shallow CNN; one matrix on each patch (ViLT); or a small "
        "ResNet, which reads beyond the patch (what is masked is blanked before it)",
    )
    dropout: Share = Field(0.1, description="dropout in the transformer")
    precision: Literal["bf16", "fp16", "fp32"] = Field(
        "bf16",
        description="type of matrix products in training (autocast); fp16, for GPUs older than Ampere, scales the loss",
    )
    bert: Path | None = Field(
        None,
        description="published BERT weights to start from: a local folder, or a name on the Hugging Face hub "
        "(docs/bert.md)",
        json_schema_extra=ON_HUB,
    )
    checkpoint: Path | None = Field(
        None,
        description="folder of a network that mlim saved, to start from: of the same words, patch and embedder, at any "
        "`image_side`; its size is taken",
    )

    @model_validator(mode="after")
    def _patches_fit(self) -> Model:
        check_side("image_side", self.image_side, "patch", self.patch)
        if self.bert and self.checkpoint:
            raise ValueError("give one of bert and checkpoint")
        return self


class Optim(Section):
    """AdamW, and how its rate goes (docs/training.md)."""

    lr: Annotated[float, Field(gt=0)] = Field(5e-4, description="highest learning rate")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.05, description="on matrices; not on norms and biases")
    schedule: Literal["cosine", "constant"] = Field(
        "cosine",
        description="after the warmup: a cosine to zero; or constant until the cooldown, so that a finished training "
        "can be prolonged",
    )
    warmup: Share = Field(0.05, description="share of the steps over which the rate rises from 0")
    warmup_steps: Count | None = Field(
        None, description="steps over which it rises, in place of the share; what is to be prolonged needs them"
    )
    cooldown: Share = Field(0.2, description="schedule constant: share of the steps, the last, in which it falls to 0")
    clip: Annotated[float, Field(gt=0)] = Field(1.0, description="greatest global gradient norm")
    batch_size: OrAuto = Field(
        256,
        description="effective batch: listings (or pairs) behind one optimizer step; auto, in pre-training: as many as "
        "the devices can hold at once (docs/memory.md)",
    )
    micro_batch: OrAuto | None = Field(
        None,
        description="listings (or pairs) in the memory of a device at once; auto: as many as it can hold, found before "
        "a pre-training begins; default: its whole share, halved where that is too much",
    )
    bad_steps: Annotated[int, Field(ge=0)] = Field(
        10,
        description="steps in a row that are left out because their loss or gradient isn't finite; one more ends the "
        "training (`mlim replay` looks at them)",
    )


class Balance(Section):
    """Classes drawn more evenly than they are; listings without the label are a class of their own."""

    label: str = Field(description="name of a label in `columns.labels`")
    strength: Strength = Field(
        1.0, description="a class's share of the draws goes by its size ** (1 - strength): 1: all classes equally often"
    )


class Weights(Section):
    """Listings drawn in proportion to a weight."""

    label: str = Field(description="name of a label in `columns.labels`; the weight is its number, without `classes`")
    classes: dict[str, Annotated[float, Field(ge=0)]] = Field({}, description="class of the label -> weight")
    other: Annotated[float, Field(ge=0)] = Field(
        1.0, description="weight of listings without the label, or of a class that is not named"
    )


class Sampling(Section):
    """In which order training sees the listings (docs/sampling.md); an epoch has as many draws as there are listings.
    The order is a function of the seed and the step: workers and ranks change nothing."""

    window: Count | None = Field(
        None, description="shards shuffled together, which is what streaming must hold; null: the whole catalog"
    )
    last: Literal["keep", "drop"] = Field("keep", description="the smaller last batch of an epoch is used, or not")
    balance: Balance | None = Field(None, description="draw by class; null: each listing once an epoch")
    weights: Weights | None = Field(None, description="draw by weight; null: each listing once an epoch")
    buckets: Annotated[int, Field(ge=0)] = Field(
        0,
        description="so many batches are cut by text length together, so that less is padded; 1: only the "
        "micro-batches within a step; 0: none",
    )
    sides: tuple[tuple[Share, Annotated[int, Field(ge=1)]], ...] = Field(
        (), description="small pictures first: [share of the steps, pixels] …; the rest is at model.image_side"
    )

    @model_validator(mode="after")
    def _one_way_to_draw(self) -> Sampling:
        if self.balance and self.weights:
            raise ValueError("give one of balance and weights")
        if sum(share for share, _ in self.sides) > 1 + 1e-6:
            raise ValueError(f"the shares of sides sum to {sum(share for share, _ in self.sides):g}; at most 1")
        return self


class Mlm(Section):
    """Say the hidden words: negative log-likelihood, averaged over them (paper, Loss)."""

    weight: Annotated[float, Field(ge=0)] = Field(1.0, description="factor in the loss; 0: left out")


class Recon(Section):
    """Redraw the picture: squared error summed over the channels, averaged over pixels (paper, Loss)."""

    weight: Annotated[float, Field(ge=0)] = Field(1.0, description="factor in the loss; 0: left out")
    over: Literal["picture", "masked"] = Field(
        "picture", description="pixels that count: all, as in the paper, or those of masked patches alone"
    )
    target: Literal["pixels", "normalised"] = Field(
        "pixels", description="pixels in [0, 1], or less their patch's mean and divided by its deviation (MAE)"
    )


class Itm(Section):
    """Tell whether text and picture belong together: half of a batch gets another listing's picture."""

    weight: Annotated[float, Field(ge=0)] = Field(0.0, description="factor in the loss; 0: left out")
    negatives: Literal["hard", "random"] = Field(
        "hard", description="whose picture: of the listing in the micro-batch that the model finds most alike, or any"
    )


class Itc(Section):
    """Find a text's picture, and a picture's text, in the micro-batch: InfoNCE on each modality read alone."""

    weight: Annotated[float, Field(ge=0)] = Field(0.0, description="factor in the loss; 0: left out")
    width: Count = Field(256, description="numbers in the vectors that are compared")
    temperature: Annotated[float, Field(gt=0)] = Field(0.07, description="at the start; it is learnt")


class Objectives(Section):
    """loss = sum of weight * objective; each is logged apart."""

    mlm: Mlm = Field(Mlm(), description="say the hidden words")
    recon: Recon = Field(Recon(), description="redraw the picture")
    itm: Itm = Field(Itm(), description="do text and picture belong together?")
    itc: Itc = Field(Itc(), description="which text and picture belong together?")

    @model_validator(mode="after")
    def _one_at_least(self) -> Objectives:
        if not any(part.weight for part in (self.mlm, self.recon, self.itm, self.itc)):
            raise ValueError("all weights are 0; give one objective a weight above 0")
        return self


class Pretrain(Section):
    """Pre-training: which loss, on what, for how long."""

    epochs: Annotated[int, Field(ge=0)] = Field(
        40, description="passes over the training listings; 0: none, the network stays as it starts"
    )
    optim: Optim = Field(Optim(), description="the optimizer")
    masking: Masking = Field(Mam(), description="which tokens the model must say or redraw")
    augment: Augment = Field(Augment(), description="random changes of the pictures")
    sampling: Sampling = Field(Sampling(), description="the order of the listings")
    objectives: Objectives = Field(Objectives(), description="what is learnt")
    seed: Seed = Field(0, description="of initial weights, order, masks and augmentation")
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="each layer's rate is the next higher layer's times this; 1: one rate for all"
    )
    average: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="decay of a moving average of the weights (EMA), as 0.999, and less in the first steps; it is what "
        "is validated and kept",
    )
    patience: Count | None = Field(
        None, description="validations without a better loss after which training ends early; null: it goes to the end"
    )
    result: Literal["last", "best"] = Field(
        "last", description="which weights are kept: the last, or those of the best validation"
    )
    validate_every: Count = Field(5, description="epochs between validations on fixed masks")
    log_every: Count = Field(20, description="optimizer steps between lines of metrics.jsonl")

    @model_validator(mode="after")
    def _something_to_learn(self) -> Pretrain:
        asked = self.objectives
        unmasked = asked.itm.weight or asked.itc.weight or (asked.recon.weight and asked.recon.over == "picture")
        if isinstance(self.masking, NoMasking) and not unmasked:
            raise ValueError("masking none hides nothing, and all objectives ask for what is hidden; hide something")
        return self


class ModalityDropout(Section):
    """MDO: in fine-tuning a listing randomly loses its text, or its image, or neither."""

    text: Share = Field(0.15, description="probability of losing the text")
    image: Share = Field(0.15, description="probability of losing the image")

    @model_validator(mode="after")
    def _one_stays(self) -> ModalityDropout:
        if self.text + self.image > 1:
            raise ValueError(f"text + image is {self.text + self.image:g}; at most 1, since one of them stays")
        return self


class Arm(Section):
    """How a network is tuned for a task; chosen for each arm on validation groups, see docs/log.md."""

    epochs: Count = Field(20, description="passes over the training pairs or listings")
    optim: Optim = Field(Optim(lr=3e-4, batch_size=64), description="the optimizer")
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="each layer's rate is the next higher layer's times this; 1: one rate for all"
    )

    @model_validator(mode="after")
    def _number(self) -> Arm:
        if self.optim.batch_size == AUTO:
            raise ValueError("optim.batch_size: auto is for pre-training; expected a number")
        return self


class Start(Section):
    """Shrink and perturb (Ash & Adams 2020, arXiv 1910.08475): what the pre-trained weights become before tuning.

    A matrix becomes shrink * w + perturb * std(w) * noise. Weights learnt on few listings keep what they know
    of words and pictures and lose what ties them to those listings; see docs/log.md.
    """

    shrink: Share = Field(1.0, description="factor on the pre-trained weights; 1: as they are")
    perturb: Annotated[float, Field(ge=0)] = Field(0.0, description="noise, in standard deviations of each matrix")


class Task(Section):
    """What every fine-tuning has."""

    start: Start = Field(Start(), description="what is done to the pre-trained weights first")
    dropout: Share = Field(0.1, description="dropout in the transformer while tuning")
    pretrained: Arm = Field(Arm(), description="the pre-trained network")
    scratch: Arm | None = Field(Arm(), description="the same network without pre-training; null: not run")
    mdo: ModalityDropout = Field(ModalityDropout(), description="modality dropout")
    augment: Augment = Field(Augment(), description="random changes of the pictures")
    label_shares: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (1.0,), min_length=1, description="shares of the training labels to learn from, each reported"
    )
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, description="one run each; the report gives the mean")


class Mine(Section):
    """Pairs found in the catalog: matches among listings of one product, others among those that look alike."""

    by: str = Field(
        "group", description="listings with the same value of it are one product: group, code, or a label's name"
    )
    negatives: Annotated[float, Field(ge=0)] = Field(
        2.0, description="pairs of different products for each match, the most alike ones of the part"
    )
    most: Count = Field(20, description="matches taken of one product, at most")


class Cross(Section):
    """A second network that reads both listings of a pair in one sequence: slower, and more exact on close calls."""

    epochs: Count = Field(4, description="passes over the training pairs")
    optim: Optim = Field(Optim(lr=3e-4, batch_size=32), description="the optimizer")
    candidates: Count = Field(
        20, description="so many of a listing's nearest ones, as the first network finds them, are read"
    )


class Match(Task):
    """Are two listings the same product? Pairs from a file, or mined; with calibrated probabilities and clusters."""

    pairs: Path | None = Field(
        None, description="CSV with the columns left, right (listing ids) and match (1 or 0); absent: pairs are mined"
    )
    mine: Mine = Field(Mine(), description="how pairs are mined")
    cross: Cross | None = Field(None, description="also train a network that reads both listings together")
    precision: Share = Field(0.9, description="wanted precision: the report gives the threshold that reaches it")


class Rare(Section):
    """Classes with few listings in the train part."""

    fewer_than: Count = Field(1, description="a class of fewer training listings is rare")
    then: Literal["keep", "group", "leave out"] = Field(
        "keep",
        description="keep: as others; group: one class of all of them; leave out: their listings have no label",
    )


class Classify(Task):
    """Which class is a listing in: one class, several, or one at each level of a hierarchy?"""

    label: str | tuple[str, ...] = Field(
        description="name of a label in `columns.labels` (or a column of `labels`), or several from the widest to the "
        "narrowest: a hierarchy"
    )
    labels: Path | None = Field(
        None, description="CSV with the columns id and a column for each label, in place of the feed's"
    )
    several: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="what separates the classes in a cell, for listings that are in several"
    )
    rare: Rare = Field(Rare(), description="what to do with classes of few listings")
    balance: Strength = Field(
        0.0, description="classes are drawn by size ** (1 - balance): 0: as often as they are, 1: all equally often"
    )

    @model_validator(mode="after")
    def _levels(self) -> Classify:
        levels = (self.label,) if isinstance(self.label, str) else self.label
        if not levels or len(set(levels)) < len(levels):
            raise ValueError(f"label: expected one label, or several different ones, found {list(levels)}")
        if self.several and len(levels) > 1:
            raise ValueError("several is for listings in several classes of one label; label names a hierarchy")
        return self


Query = Literal["text", "picture", "both"]


class Retrieve(Task):
    """Find the listings that belong to a query: a text, a picture or both."""

    by: str = Field(
        "group", description="listings with the same value of it belong together: group, code, or a label's name"
    )
    pairs: Path | None = Field(
        None, description="CSV with left, right, match, whose matches belong together, in place of `by`"
    )
    across: str | None = Field(
        None, description="feed, or a label's name: a query is answered by listings of another value of it only"
    )
    queries: tuple[Query, ...] = Field(
        ("text", "picture", "both"), min_length=1, description="what is asked with; each is measured apart"
    )
    negatives: Literal["in batch", "mined"] = Field(
        "in batch", description="mined: batches are made of products that are alike, so that the wrong answers are hard"
    )
    temperature: Annotated[float, Field(gt=0)] = Field(0.05, description="of the contrastive loss, at the start")


class Fill(Task):
    """Say a missing attribute, or that it can't be said."""

    attributes: tuple[str, ...] = Field(
        min_length=1,
        description="names in `columns.text` (hidden while they are learnt and asked) or `columns.labels`",
    )
    answer: Literal["classes", "words"] = Field(
        "classes", description="classes: a value seen in training; words: said word by word by the language head"
    )
    fewer_than: Count = Field(3, description="values of fewer training listings are none of the classes")
    precision: Share = Field(
        0.9, description="wanted precision: below the confidence that reaches it on the valid part, it says don't know"
    )


class Baselines(Section):
    """What the networks are held against, on the same split and labels."""

    plain: bool = Field(True, description="TF-IDF, colours and shapes, and both, under linear models")
    trees: bool = Field(True, description="gradient-boosted trees on both")
    embeddings: tuple[Path, ...] = Field(
        (),
        description="published models, frozen under a small head: local folders, or names on the hub (CLIP, SigLIP, "
        "sentence-transformers, marqo-ecommerce, whatever AutoModel reads)",
        json_schema_extra=ON_HUB,
    )

    @property
    def told(self) -> dict[str, Any]:
        """For a stage's key: of published models their names; the digests of their files are sources."""
        names = [path.name if path.is_absolute() else str(path) for path in self.embeddings]
        return {"plain": self.plain, "trees": self.trees, "embeddings": names}


class Finetune(Section):
    """The tasks to fine-tune for; an absent one is not run."""

    match: Match | None = Field(None, description="are two listings the same product?")
    classify: Classify | None = Field(None, description="which class is a listing in?")
    retrieve: Retrieve | None = Field(None, description="which listings belong to a query?")
    fill: Fill | None = Field(None, description="what is a missing attribute?")
    together: bool = Field(
        False, description="also one network for all of these tasks: one encoder, a head each (docs/tasks.md)"
    )
    baselines: Baselines = Field(Baselines(), description="what the networks are held against")

    @property
    def tasks(self) -> dict[str, Task]:
        """The sections of those that are asked for, by name; each has a room in workbench/tasks."""
        found = {name: getattr(self, name) for name in ("match", "classify", "retrieve", "fill")}
        return {name: section for name, section in found.items() if section}

    @model_validator(mode="after")
    def _several_together(self) -> Finetune:
        if self.together and len(self.tasks) < 2:
            raise ValueError("together: one network for all tasks needs two of them at least; add one, or give false")
        return self


class Report(Section):
    """What the report shows."""

    title: str = Field("mlim report", description="headline")
    examples: Annotated[int, Field(ge=1, le=48)] = Field(8, description="listings shown in each gallery")


class Probes(Section):
    """Do pictures and words inform each other, on listings that no training saw (docs/probes.md)?"""

    by: str | None = Field(None, description="name of a label in `columns.labels`: also within each of its classes")
    draws: Count = Field(2, description="fixed masks drawn for each listing")
    listings: Count = Field(2000, description="held-out listings probed, at most")
    bootstrap: Annotated[int, Field(ge=100)] = Field(2000, description="resamples behind each interval")
    checkpoint: Path | None = Field(
        None, description="folder of a saved network to probe in place of the one that the recipe pre-trains"
    )


class Audit(Section):
    """Listings whose text and picture tell nothing about each other (docs/audit.md)."""

    strangers: Annotated[int, Field(ge=3)] = Field(
        8, description="other products' pictures tried beside each text; more tell better, and take longer"
    )
    shown: Count = Field(20, description="listings shown on the page; the CSV file has all")
    checkpoint: Path | None = Field(
        None, description="folder of a saved network to audit with in place of the one that the recipe pre-trains"
    )


class Ablate(Section):
    """Variants of the recipe under an equal budget, side by side (`mlim ablate`, docs/ablate.md)."""

    axes: dict[str, dict[str, tuple[str, ...]]] = Field(
        {}, description="axis -> choice -> KEY=VALUE …: every combination of choices is a variant"
    )
    variants: dict[str, tuple[str, ...]] = Field(
        {}, description="name -> KEY=VALUE …: further variants; the first of all is what the others are compared with"
    )
    seeds: tuple[Seed, ...] = Field((0, 1, 2), min_length=1, description="each variant is trained with each of them")


class Checkpoints(Section):
    """When the state of a pre-training is saved, and which states stay, in CACHE/checkpoints (docs/checkpoints.md)."""

    minutes: Annotated[float, Field(gt=0)] | None = Field(
        5.0, description="between two checkpoints; null: by steps only"
    )
    steps: Count | None = Field(None, description="optimizer steps between checkpoints; null: by minutes only")
    last: Count = Field(2, description="so many of the last ones are kept")
    hours: Annotated[float, Field(gt=0)] | None = Field(
        None, description="one of every so many hours of training is kept for good; null: none"
    )
    remote: str | None = Field(
        None,
        description="s3://…, gs://… or a folder: each is copied there, and taken from there where none is here; null: "
        "CACHE/checkpoints where the cache is in object storage, else nowhere",
    )


class Runtime(Section):
    """Where and how to run. Nothing here enters a cache key, or changes what is computed by more than rounding."""

    cache: Path = Field(
        Path(".mlim"),
        description="folder of the artifacts; also in object storage, where all machines have it (docs/storage.md)",
        json_schema_extra=IS_WRITTEN,
    )
    reports: Path = Field(
        Path("reports"),
        description="folder for reports: REPORTS/RECIPE NAME/report.html; also in object storage",
        json_schema_extra=IS_WRITTEN,
    )
    scratch: Path | None = Field(
        None,
        description="folder on a fast disk for copies of what the recipe reads from object storage, and for what is on "
        "its way there (docs/storage.md); default: mlim in XDG_CACHE_HOME, or in ~/.cache",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: the first GPU if there is one")
    threads: Annotated[int, Field(ge=0)] = Field(0, description="threads for decoding and for torch; 0: all cores")
    executor: Literal["local", "ray"] = Field(
        "local", description="where data is prepared: in this process, or on a Ray cluster (docs/ray.md)"
    )
    cluster: str = Field(
        "", description="of `executor: ray`: its address, as ray://head:10001 or auto; empty: a cluster of this machine"
    )
    compile: bool = Field(
        False, description="torch.compile: faster steps on a GPU, after a minute or more of compiling"
    )
    recompute: bool = Field(
        False, description="activation checkpointing: a third slower, and a fraction of the memory, for large models"
    )
    deterministic: bool = Field(
        False,
        description="on a GPU: only kernels that repeat themselves, so that a resumed training equals an uninterrupted "
        "one to the bit; slower. A CPU has no others",
    )
    parallel: Literal["replicate", "shard"] = Field(
        "replicate",
        description="several processes (`--nproc`, torchrun): each has the whole model (DDP), or a part of it (FSDP2)",
    )
    wait: Annotated[float, Field(gt=0)] = Field(
        600.0, description="seconds that a process waits for the others within a step before it gives up"
    )
    checkpoints: Checkpoints = Field(Checkpoints(), description="when a pre-training is saved")
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        (), description="draw the curves of pre-training there, too; what stays here is in REPORTS/RECIPE NAME"
    )
    price: Annotated[float, Field(gt=0)] | None = Field(
        None, description="money that an hour of this machine costs, in any currency: `mlim plan` tells what a run will"
    )
    profile: tuple[Count, Count] | None = Field(
        None,
        description="[first, last] optimizer step of pre-training, counted from 1, to trace into REPORTS/RECIPE NAME",
    )
    decoder: Literal["auto", "cpu", "dali"] = Field(
        "auto", description="of training pictures; auto: DALI where torch has a GPU and DALI works, else the CPU's"
    )
    prefetch: Count = Field(256 * 2**20, description="bytes of batches made ahead of the training, at most")
    decoded: Annotated[int, Field(ge=0)] = Field(
        512 * 2**20, description="bytes of decoded pictures kept, so that a small catalog is decoded once; 0: none"
    )
    remote: Annotated[str, Field(pattern=r"^(\w[\w+.-]*://[^\s]+|/.*)$")] | None = Field(
        None,
        description="s3://…, gs://… or an absolute path to which `mlim push` copied the data: what is missing in "
        "the cache is taken from there, pictures while they are needed (docs/streaming.md); not with a cache in an "
        "object store, from which all is taken",
    )
    remote_bytes: Count = Field(
        100 * 2**30,
        description="bytes of pictures taken from `remote`, or a cache in object storage, that are kept here, at most",
    )

    @model_validator(mode="after")
    def _in_order(self) -> Runtime:
        if self.profile and self.profile[0] > self.profile[1]:
            raise ValueError(f"profile: its first step, {self.profile[0]}, is behind its last, {self.profile[1]}")
        return self


class Recipe(Section):
    """A whole recipe; see recipes/quickstart.yaml."""

    name: str = Field(
        "",
        pattern=r"^([^./\\][^/\\]*)?$",
        description="names the report's folder; default: the recipe's file name",
    )
    catalog: Catalog = Field(description="the feeds and the split")
    fetch: Fetch | None = Field(None, description="download pictures by web address; absent: none is downloaded")
    images: Images = Field(Images(), description="how pictures are stored")
    duplicates: Duplicates = Field(Duplicates(), description="what to do with listings that are alike")
    tokens: Tokens = Field(Tokens(), description="how texts become token ids")
    model: Model = Field(Model(), description="the network")
    pretrain: Pretrain = Field(Pretrain(), description="pre-training")
    finetune: Finetune = Field(Finetune(), description="the tasks")
    probes: Probes = Field(Probes(), description="the probes across modalities")
    audit: Audit = Field(Audit(), description="listings whose text and picture do not fit")
    ablate: Ablate = Field(Ablate(), description="variants to compare")
    report: Report = Field(Report(), description="the report")
    runtime: Runtime = Field(Runtime(), description="where and how to run")


def sections(annotation: Any) -> Iterator[type[Section]]:
    """Every section type inside a field's annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield annotation
    for inner in get_args(annotation):
        yield from sections(inner)


def fields(section: type[Section], path: str = "") -> Iterator[str]:
    """The dotted path of every key below a section; entries of a list as in `catalog.feeds.path`."""
    for name, field in section.model_fields.items():
        yield path + name
        for inner in sections(field.annotation):
            yield from fields(inner, f"{path}{name}.")
