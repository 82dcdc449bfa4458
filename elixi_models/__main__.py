"""`python -m elixi_models` is `elixi-models`."""

from .cli import main

main(prog_name="elixi-models")
