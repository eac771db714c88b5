"""Which tensor of a checkpoint is which of a model, by name: what wrappers put before or into names is taken off.

::

    _orig_mod.module.blocks.0.attn.weight   ->   blocks.0.attn.weight     torch.compile around DistributedDataParallel
    encoder.q.blocks.0.attn.weight          ->   blocks.0.attn.weight     one prefix before all names, found by the fit
    blocks.0.attn.weight                    ->   net.blocks.0.attn.weight the other way about
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from mobilevit_deploy.errors import CheckpointError

# What training code and wrappers put before a model's names, in any order.
PREFIXES = (
    "module.",
    "_orig_mod.",
    "_fsdp_wrapped_module.",
    "base_model.model.",
    "model.",
    "backbone.",
    "net.",
    "encoder.",
    "student.",
    "teacher.",
)
# What wrappers of modules inside a model put into its names.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "module")
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Match:
    """Names of a checkpoint and of a model.

    Attributes:
        matched: names of the checkpoint by those of the model.
        unmatched: names of the checkpoint that are none of the model's.
        note: the prefix that was put before or taken off all names, where one was sought; else empty.
    """

    matched: dict[str, str]
    unmatched: list[str]
    note: str = ""

    def missing(self, expected: Collection[str]) -> list[str]:
        """Returns the model's names that the checkpoint has no tensor for."""
        return [name for name in expected if name not in self.matched]


def name_forms(key: str) -> Iterator[str]:
    """Yields a key as it stands, with its known prefixes taken off in turn, and the same without wrappers inside."""
    seen = set()
    for form in (key, unwrapped(key)):
        while form not in seen:
            seen.add(form)
            yield form
            form = form.removeprefix(next((prefix for prefix in PREFIXES if form.startswith(prefix)), ""))


def match_names(found: Sequence[str], expected: Collection[str]) -> Match:
    """Fits the names of a checkpoint to those of a model.

    Raises:
        CheckpointError: two tensors of the checkpoint could be the same one of the model.
    """
    plain = _match_forms(found, expected)
    if _is_whole(plain, expected):
        return plain
    sought = _match_prefix(found, expected)
    return sought if sought else plain


def _is_whole(match: Match, expected: Collection[str]) -> bool:
    return all(name.endswith(COUNTER) for name in match.missing(expected))


def _match_forms(found: Sequence[str], expected: Collection[str]) -> Match:
    matched: dict[str, str] = {}
    unmatched = []
    for key in found:
        name = next((form for form in name_forms(key) if form in expected), None)
        if name is None:
            unmatched.append(key)
        elif name in matched:
            raise CheckpointError(
                f"both {matched[name]} and {key} in the checkpoint could be {name}",
                "--prefix P takes the names that begin with P alone",
            )
        else:
            matched[name] = key
    return Match(matched, unmatched)


def _match_prefix(found: Sequence[str], expected: Collection[str]) -> Match | None:
    """Returns the match by one prefix before all names of the checkpoint, or before all of the model's; None if none.

    Sought by the longest name, which stands in few places; a prefix counts where every name of the model has its
    tensor then.

    Raises:
        CheckpointError: two prefixes of other tensors count: two models side by side.
    """
    keys = {form: key for key in reversed(found) for form in (key, unwrapped(key))}
    longest = max((name for name in expected if not name.endswith(COUNTER)), key=len, default=None)
    if longest is None or not found:
        return None
    whole = []
    for prefix in _shortest({key[: -len(longest)] for key in keys if key.endswith(f".{longest}")}):
        matched = {name: keys[prefix + name] for name in expected if prefix + name in keys}
        match = Match(matched, _rest(found, matched), f"the prefix {prefix!r} was taken off all names")
        if _is_whole(match, expected):
            whole.append((prefix, match))
    if whole:
        prefix, match = whole[0]
        others = [other for other, rival in whole if rival.matched != match.matched]
        if others:
            written = match.matched[longest].removesuffix(longest)  # with the wrappers that stand before it
            raise CheckpointError(
                f"the names behind {prefix!r} and behind {others[0]!r} in the checkpoint both fit",
                f"--prefix {written} takes the first",
            )
        return match
    first = max(keys, key=len)
    for prefix in _shortest({name[: -len(first)] for name in expected if name.endswith(f".{first}")}):
        matched = {prefix + form: key for form, key in keys.items() if prefix + form in expected}
        match = Match(matched, _rest(found, matched), f"the prefix {prefix!r} was put before all names")
        if _is_whole(match, expected):
            return match
    return None


def _shortest(prefixes: Collection[str]) -> list[str]:
    return sorted(sorted(prefixes), key=len)


def unwrapped(key: str) -> str:
    """Returns a name without what wrappers of modules put into it."""
    return ".".join(part for part in key.split(".") if part not in WRAPPERS)


def _rest(found: Sequence[str], matched: dict[str, str]) -> list[str]:
    taken = set(matched.values())
    return [key for key in found if key not in taken]
