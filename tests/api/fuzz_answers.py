r"""Looks for answers that break what ``test_answers_fuzz`` promises, guided by the branches that they reach.

Not a test: it runs until it finds one, or for as long as it is told. From the top of the repository::

    python -m pip install -e . atheris hypothesis pytest     # in an environment of its own
    mkdir -p build/fuzz build/least
    python tests/api/fuzz_answers.py -artifact_prefix=build/ -max_len=4096 -max_total_time=300 \
        build/fuzz tests/api/corpus

What is new to it is kept in ``build/fuzz``; a body that breaks a promise becomes ``build/crash-…``, and belongs into
``tests/api/corpus`` once that is mended. The smallest set that reaches as much, to choose others from::

    python tests/api/fuzz_answers.py -merge=1 build/least build/fuzz
"""

from __future__ import annotations

import shlex
import sys

import atheris

# The second reader too: what makes a difference to it is worth trying on the first.
with atheris.instrument_imports(include=["rfsync.api", "test_answers_fuzz"]):
    from test_answers_fuzz import check


def main() -> None:
    # With -merge it starts itself again, by its first argument, which a shell reads.
    atheris.Setup([shlex.join([sys.executable, sys.argv[0]]), *sys.argv[1:]], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
