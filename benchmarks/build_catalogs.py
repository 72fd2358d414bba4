#!/usr/bin/env python3
"""Build the two real catalogs that docs/results.md measures on, from Debian and npm packages.

usage: build_catalogs.py OUT [emoji] [tuxpaint]        (both when none is named)

OUT/emoji/      a marketplace with several sellers: the same ~1,900 products (+ ~1,900 skin-tone
                variants), each pictured and titled by every seller in its own way
                  <seller>.jsonl     sku, product, group, title, keywords, department, aisle, picture
                                     (group: the product without its skin tone - as a shop's parent of colour variants)
                  pairs.csv          left, right, match  - "closely matching" pairs: 1 = the same product
                                     at two sellers, 0 = another product of the same aisle
                images: 64x64 PNG with transparency, img/<seller>/*.png
                The pictures of google are Apache-2.0, those of twitter CC-BY-4.0 (attribution: Twemoji):
                both may ship with the project. Those of apple and facebook may not: measure on them only.
OUT/tuxpaint/   ~790 photographs and drawings of single objects on a transparent ground, a title each
                  items.csv          sku;name;department;picture   (semicolons, as many shops export)

Needs: npm, apt-get and dpkg. Nothing outside the standard library. About 2 minutes, 1 GB while it runs.
"""

import csv
import json
import pathlib
import random
import re
import subprocess
import sys
import tarfile

SELLERS = ("google", "twitter", "apple", "facebook")
SKIN_TONES = ("1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF")


def npm_pack(name: str, work: pathlib.Path) -> tarfile.TarFile:
    """The package's archive, fetched once into `work`."""
    stem = name.replace("@", "").replace("/", "-")
    found = sorted(work.glob(f"{stem}-[0-9]*.tgz"))
    if not found:
        subprocess.run(["npm", "pack", "--silent", name], cwd=work, check=True, capture_output=True)
        found = sorted(work.glob(f"{stem}-[0-9]*.tgz"))
    return tarfile.open(found[-1])


def build_emoji(out: pathlib.Path, work: pathlib.Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    with npm_pack("emojibase-data", work) as tar:
        base = json.load(tar.extractfile("package/en/data.json"))
    labels = {}
    for entry in base:
        for e in (entry, *entry.get("skins", [])):
            labels[e["hexcode"].upper().replace("-FE0F", "")] = (e["label"], entry.get("tags", []))

    offers = {}  # product -> {seller: sku}
    aisle_of = {}
    for seller in SELLERS:
        with npm_pack(f"emoji-datasource-{seller}", work) as tar:
            listing = json.load(tar.extractfile("package/emoji.json"))
            folder = out / "img" / seller
            folder.mkdir(parents=True, exist_ok=True)
            prefix = f"package/img/{seller}/64/"
            for member in tar:
                if member.name.startswith(prefix) and member.isfile():
                    (folder / pathlib.PurePosixPath(member.name).name).write_bytes(tar.extractfile(member).read())
        rows = []
        for e in listing:
            for v in (e, *(e.get("skin_variations") or {}).values()):
                if not v.get(f"has_img_{seller}"):
                    continue
                code = v["unified"].upper()
                label, tags = labels.get(code.replace("-FE0F", ""), (None, []))
                if label is None:
                    continue
                # Each seller words its titles in its own way, as shops do.
                short = e["short_names"][0].replace("_", " ").replace("-", " ")
                tone = label.split(":", 1)[1].strip() if ": " in label and "skin" in label else ""
                title = {
                    "google": label,
                    "twitter": f"{short} {tone}".strip(),
                    "apple": (e["name"] or label).title() + (f", {tone}" if tone else ""),
                    "facebook": f"{e['subcategory']} / {short}" + (f" ({tone})" if tone else ""),
                }[seller]
                sku = f"{seller[:2].upper()}-{code}"
                group = "-".join(c for c in code.split("-") if c not in SKIN_TONES)
                row = {"sku": sku, "product": code, "group": group, "title": title}
                row |= {"keywords": tags if seller != "twitter" else []}
                row |= {"department": e["category"], "aisle": e["subcategory"]}
                rows.append(row | {"picture": f"img/{seller}/{v['image']}"})
                offers.setdefault(code, {})[seller] = sku
                aisle_of[code] = e["subcategory"]
        with open(out / f"{seller}.jsonl", "w", encoding="utf-8") as f:
            f.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
        print("emoji", seller, len(rows))

    rng = random.Random(0)
    by_aisle = {}
    for code in sorted(offers):
        by_aisle.setdefault(aisle_of[code], []).append(code)
    n = 0
    with open(out / "pairs.csv", "w", newline="", encoding="utf-8") as f:
        w = csv.writer(f)
        w.writerow(["left", "right", "match"])
        for code in sorted(offers):
            here = offers[code]
            if len(here) < 2:
                continue
            a, b = rng.sample(sorted(here), 2)
            w.writerow([here[a], here[b], 1])
            others = [c for c in by_aisle[aisle_of[code]] if c != code and b in offers[c]]
            for other in rng.sample(others, min(2, len(others))):
                w.writerow([here[a], offers[other][b], 0])
                n += 1
            n += 1
    print("emoji pairs", n)


def build_tuxpaint(out: pathlib.Path, work: pathlib.Path) -> None:
    package = "tuxpaint-stamps-default"
    root = work / package
    if not root.exists():
        subprocess.run(["apt-get", "-qq", "update"], check=False)
        subprocess.run(["apt-get", "download", "-q", package], cwd=work, check=True, stderr=subprocess.DEVNULL)
        subprocess.run(["dpkg", "-x", next(work.glob(f"{package}_*.deb")), root], check=True)
    stamps = root / "usr/share/tuxpaint/stamps"
    out.mkdir(parents=True, exist_ok=True)
    n = 0
    with open(out / "items.csv", "w", newline="", encoding="utf-8") as f:
        w = csv.writer(f, delimiter=";")
        w.writerow(["sku", "name", "department", "picture"])
        for png in sorted(stamps.rglob("*.png")):
            text = png.with_suffix(".txt")
            if re.search(r"_(mirror|flip|mirror_flip)$", png.stem) or not text.exists():
                continue
            lines = text.read_text("utf-8", "replace").splitlines()
            if not lines or not lines[0].strip():
                continue
            rel = png.relative_to(stamps)
            target = out / "img" / rel
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(png.read_bytes())
            w.writerow([rel.with_suffix("").as_posix(), lines[0].strip(), rel.parts[0], f"img/{rel.as_posix()}"])
            n += 1
    print("tuxpaint", n)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[1])
    work = target / ".work"
    work.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or ["emoji", "tuxpaint"]:
        {"emoji": build_emoji, "tuxpaint": build_tuxpaint}[name](target / name, work.resolve())
