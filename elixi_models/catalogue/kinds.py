"""What a name says about a model, where the catalogue says nothing."""

from __future__ import annotations

import re

#: Names that the host's earlier manager sorted this way and its users know.
_KNOWN = {"orca-mini": "fast", "dolphin": "creative"}

#: First match wins; whole words of the name, so that "encode" is not "code" and "instruct" says nothing.
_WORDS = (
    ("embedding", {"embed", "embedding", "embeddings", "embedder", "bge", "minilm", "e5", "gte"}),
    ("vision", {"vl", "vision", "llava", "ocr"}),
    ("coding", {"code", "coder", "codellama", "starcoder", "codestral", "devstral", "sql", "sqlcoder"}),
    ("analysis", {"math", "reasoning", "reasoner", "r1", "qwq", "guard"}),
    ("creative", {"dolphin", "uncensored", "roleplay", "story", "writer"}),
)

#: What publishers state on their model cards: the languages a code model was trained for or evaluated in.
LANGUAGES = {
    "codellama": ("python", "c++", "java", "php", "typescript", "javascript", "c#", "bash"),
    "codestral": ("python", "java", "c", "c++", "javascript", "bash", "swift", "fortran"),
    "codegemma": ("python", "javascript", "java", "kotlin", "c++", "c#", "rust", "go"),
    "stable-code": ("python", "c++", "javascript", "java", "c", "php", "rust"),
    "sqlcoder": ("sql",),
    "duckdb-nsql": ("sql",),
}

TASK_WORDS = {
    "general": ("general", "conversation", "question-answering"),
    "coding": ("coding",),
    "analysis": ("analysis", "reasoning", "mathematics"),
    "creative": ("creative", "writing", "role-play"),
    "fast": ("general", "quick-answers"),
    "vision": ("vision", "general"),
    "embedding": ("embedding",),
}


def kind_by_name(family: str, *, exact_only: bool = False) -> str | None:
    """The kind that the words of a family name point to, or None.

    Args:
        family: a name without its tag, in lower case, perhaps with host and namespace.
        exact_only: only the names with a kind of their own.
    """
    if family in _KNOWN:
        return _KNOWN[family]
    if exact_only:
        return None
    words = set(re.split(r"[^a-z0-9]+", family.rpartition("/")[2]))
    return next((kind for kind, markers in _WORDS if words & markers), None)
