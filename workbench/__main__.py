"""`python -m workbench` is `mlim`, for launchers that start modules: torchrun … -m workbench pretrain RECIPE."""

from workbench.cli import app

app(prog_name="mlim")
